// A handler with an agent in its own process, as tracers and profilers have them.
import { createServer } from 'node:http';

const base = `http://${process.env.AWS_LAMBDA_RUNTIME_API}`;

const registered = await fetch(`${base}/2020-01-01/extension/register`, {
  method: 'POST', headers: { 'Lambda-Extension-Name': 'agent' }, body: '{"events":["INVOKE","SHUTDOWN"]}',
});
const headers = { 'Lambda-Extension-Identifier': registered.headers.get('Lambda-Extension-Identifier') };
const collector = createServer((req, res) => {
  let text = '';
  req.on('data', (part) => { text += part; });
  req.on('end', () => { res.end(); console.log(`agent: got ${JSON.parse(text).map((e) => e.type)}`); });
});
await new Promise((listening) => { collector.listen(0, '127.0.0.1', listening); });
const telemetry = await fetch(`${base}/2022-07-01/telemetry`, {
  method: 'PUT',
  headers,
  body: JSON.stringify({
    schemaVersion: '2022-12-13',
    types: ['platform'],
    buffering: { timeoutMs: 25 },
    destination: { protocol: 'HTTP', URI: `http://sandbox.localdomain:${collector.address().port}` },
  }),
});

async function watch() {
  for (;;) {
    const event = await (await fetch(`${base}/2020-01-01/extension/event/next`, { headers })).json();
    console.log(`agent: ${event.eventType}`);
  }
}
watch().catch(() => {});

export const handler = async () => telemetry.status;
