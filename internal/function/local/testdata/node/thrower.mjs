throw new RangeError('while it was loaded');
