// The least that runs a handler on the Runtime API: what Node.js's start costs by itself.
import http from 'node:http'

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':')
const agent = new http.Agent({ keepAlive: true })
const call = (method, path, body) => new Promise((resolve, reject) => {
  const request = http.request({ host, port, agent, method, path: '/2018-06-01/runtime/invocation/' + path }, (response) => {
    const pieces = []
    response.on('data', (piece) => pieces.push(piece))
    response.on('end', () => resolve({ id: response.headers['lambda-runtime-aws-request-id'], text: Buffer.concat(pieces).toString() }))
  })
  request.on('error', reject)
  request.end(body)
})
const { handler } = await import('./index.mjs')
for (;;) {
  const { id, text } = await call('GET', 'next')
  await call('POST', id + '/response', JSON.stringify(await handler(JSON.parse(text))))
}
