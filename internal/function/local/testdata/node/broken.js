exports.handler = async () => { return [; };
