// A handler with an agent in its own process, as tracers and profilers have them.
const base = `http://${process.env.AWS_LAMBDA_RUNTIME_API}`;

const registered = await fetch(`${base}/2020-01-01/extension/register`, {
  method: 'POST', headers: { 'Lambda-Extension-Name': 'agent' }, body: '{"events":["INVOKE","SHUTDOWN"]}',
});
const headers = { 'Lambda-Extension-Identifier': registered.headers.get('Lambda-Extension-Identifier') };
const telemetry = await fetch(`${base}/2022-07-01/telemetry`, { method: 'PUT', headers, body: '{"types":["platform"]}' });

async function watch() {
  for (;;) {
    const event = await (await fetch(`${base}/2020-01-01/extension/event/next`, { headers })).json();
    console.log(`agent: ${event.eventType}`);
  }
}
watch().catch(() => {});

export const handler = async () => telemetry.status;
