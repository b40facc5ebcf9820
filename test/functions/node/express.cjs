// A function made with Express and serverless-express.
const serverlessExpress = require('@codegenie/serverless-express')
const express = require('express')

const app = express()
app.use(express.raw({ type: () => true }))

app.all('/seen/:id', (req, res) => {
  const query = new URL(req.originalUrl, 'http://shop.dev').searchParams
  res.json({
    method: req.method, path: req.path, id: req.params.id,
    queries: Object.fromEntries([...new Set(query.keys())].map((name) => [name, query.getAll(name)])),
    cookies: Object.fromEntries((req.headers.cookie ?? '').split('; ').map((pair) => pair.split('='))),
    many: req.headers['x-many'], type: req.headers['content-type'], body: Buffer.from(req.body ?? '').toString('hex'),
  })
})
app.get('/cookies', (_, res) => res.cookie('a', '1', { path: null }).cookie('b', '2', { httpOnly: true }).status(201).send('set'))
app.get('/binary', (_, res) => res.type('image/png').send(Buffer.from([0, 255, 254, 10])))
app.get('/moved', (_, res) => res.redirect(303, '/elsewhere'))

exports.handler = serverlessExpress({ app })
