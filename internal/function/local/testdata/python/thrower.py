raise RuntimeError("while it was loaded")
