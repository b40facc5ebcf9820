// Loaded before Google's library, which listens on every interface and cannot be told otherwise.
const { Server } = require('node:http')

const { listen } = Server.prototype
Server.prototype.listen = function onLoopback(port, ...rest) { return listen.call(this, port, '127.0.0.1', ...rest) }
