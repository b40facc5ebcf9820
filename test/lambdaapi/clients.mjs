// The clients of the Lambda API that are written in JavaScript: AWS's own SDK, and aws4, which
// judges Weir's own signatures, too.
// Each line of stdin is a question in JSON, and each line of stdout the answer to it.
import { createInterface } from 'node:readline';
import http from 'node:http';
import aws4 from 'aws4';
import {
  InvokeCommand, InvokeWithResponseStreamCommand, LambdaClient, ListFunctionsCommand, GetFunctionCommand,
} from '@aws-sdk/client-lambda';
import {
  ApiGatewayManagementApiClient, DeleteConnectionCommand, GetConnectionCommand, PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';

const commands = { invoke: InvokeCommand, stream: InvokeWithResponseStreamCommand, list: ListFunctionsCommand, get: GetFunctionCommand };

const text = (bytes) => (bytes == null ? '' : Buffer.from(bytes).toString());

async function sdk({ op, endpoint, region, credentials, attempts, input }) {
  const client = new LambdaClient({ endpoint, region, credentials, maxAttempts: attempts });
  try {
    if (input.Payload !== undefined) input.Payload = Buffer.from(input.Payload);
    const out = await client.send(new commands[op](input));
    const answer = { status: out.StatusCode, attempts: out.$metadata.attempts, requestId: out.$metadata.requestId, version: out.ExecutedVersion,
      functionError: out.FunctionError, log: out.LogResult, payload: text(out.Payload) };
    if (op === 'list') answer.names = out.Functions.map((f) => f.FunctionName);
    if (op === 'get') answer.names = [out.Configuration.FunctionArn];
    for await (const event of out.EventStream ?? []) {
      if (event.PayloadChunk) answer.payload += text(event.PayloadChunk.Payload);
      if (event.InvokeComplete) {
        answer.complete = true;
        answer.functionError = event.InvokeComplete.ErrorCode;
        answer.details = event.InvokeComplete.ErrorDetails;
        answer.log = event.InvokeComplete.LogResult;
      }
    }
    return answer;
  } catch (error) {
    return { error: error.name, message: error.message, status: error.$metadata?.httpStatusCode, attempts: error.$metadata?.attempts, reason: error.Reason };
  } finally {
    client.destroy();
  }
}

// signed sends a request that aws4 has signed, in the query where it is told to.
function signed({ endpoint, region, credentials, request }) {
  const { hostname, port, host } = new URL(endpoint);
  const options = aws4.sign({ service: 'lambda', region, host, headers: {}, ...request }, credentials);
  return new Promise((resolve) => {
    const sent = http.request({ ...options, hostname, port }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, error: response.headers['x-amzn-errortype'], payload: Buffer.concat(parts).toString() }));
    });
    sent.on('error', (error) => resolve({ error: error.message }));
    sent.end(options.body);
  });
}

const connections = { post: PostToConnectionCommand, describe: GetConnectionCommand, close: DeleteConnectionCommand };

// manage sends to a WebSocket, tells of it or ends it.
async function manage({ endpoint, region, credentials, request: { command, id, data } }) {
  const client = new ApiGatewayManagementApiClient({ endpoint, region, credentials, maxAttempts: 1 });
  try {
    const out = await client.send(new connections[command]({ ConnectionId: id, ...(data === undefined ? {} : { Data: Buffer.from(data) }) }));
    return { status: out.$metadata.httpStatusCode, payload: out.Identity?.SourceIp ?? out.identity?.sourceIp ?? '', names: [out.ConnectedAt, out.LastActiveAt].filter((d) => d instanceof Date).map(String) };
  } catch (error) {
    return { error: error.name, message: error.message, status: error.$metadata?.httpStatusCode };
  } finally {
    client.destroy();
  }
}

// judge makes the signature anew of a request that somebody else has signed.
function judge({ region, credentials, request }) {
  const signed = aws4.sign({ region, ...request }, credentials);
  return { payload: signed.headers.Authorization };
}

const operations = { signed, manage, judge };

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const answer = await (operations[question.op] ?? sdk)(question);
  console.log(JSON.stringify(answer));
}
