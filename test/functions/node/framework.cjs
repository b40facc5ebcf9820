// Functions for Google's own library: one that is called by HTTP, one by CloudEvents.
const functions = require('@google-cloud/functions-framework')

functions.http('hello', (req, res) => {
  if (req.path === '/throw') throw new Error('out of tea')
  if (req.path === '/stream') {
    res.type('text/event-stream').write('data: 1\n\n')
    setImmediate(() => res.end('data: 2\n\n'))
    return
  }
  res.status(201).json({ method: req.method, url: req.originalUrl, body: req.body, raw: req.rawBody?.toString(), target: process.env.FUNCTION_TARGET })
})

functions.cloudEvent('ordered', (event) => {
  if (event.type !== 'dev.shop.ordered') throw new Error(`no such event: ${event.type}`)
  console.log(`${event.id} from ${event.source}: ${event.data.tea}`)
})
