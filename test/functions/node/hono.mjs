// A function made with hono's own adapter for AWS Lambda: what it sees of a
// request, and what becomes of its responses.
import { Hono } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { handle, streamHandle } from 'hono/aws-lambda'
import { streamSSE } from 'hono/streaming'

const app = new Hono()

app.all('/seen/:id', async (c) => c.json({
  method: c.req.method, path: new URL(c.req.url).pathname, id: c.req.param('id'), queries: c.req.queries(), cookies: getCookie(c),
  many: c.req.header('x-many'), type: c.req.header('content-type'), body: Buffer.from(await c.req.arrayBuffer()).toString('hex'),
}))
app.get('/cookies', (c) => {
  setCookie(c, 'a', '1')
  setCookie(c, 'b', '2', { path: '/', httpOnly: true })
  return c.text('set', 201)
})
app.get('/binary', (c) => c.body(Uint8Array.from([0, 255, 254, 10]), 200, { 'Content-Type': 'image/png' }))
app.get('/moved', (c) => c.redirect('/elsewhere', 303))
app.get('/events', (c) => streamSSE(c, async (stream) => {
  for (const n of [1, 2, 3]) await stream.writeSSE({ data: `event ${n}` })
}))

export const handler = handle(app)
export const stream = streamHandle(app)
