// Handlers for tests, one for each form that a handler can have.
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';

const greeting = await Promise.resolve('hello'); // awaited by the module itself

const echo = (event) => ({ statusCode: 200, body: event.body });

const here = [];

function meet(of) {
  console.log('waits for the others');
  return new Promise((resolve) => {
    here.push(() => resolve({ pid: process.pid, met: of }));
    if (here.length === of) here.splice(0).forEach((answer) => answer());
  });
}

export const handler = async (event, context) => {
  switch (event.rawPath) {
    case '/throw': throw new TypeError('no such tea');
    case '/throw-text': throw 'only a text';
    case '/own-error': throw Object.assign(new Error('out of tea'), { name: 'StockError' });
    case '/circular': { const a = {}; a.a = a; return a; }
    case '/unhandled': Promise.reject(new Error('lost promise')); await wait(60_000); return;
    case '/uncaught': setTimeout(() => { throw new Error('thrown by a timer'); }); await wait(60_000); return;
    case '/exit': process.exit(3);
    case '/never': return new Promise(() => {}); // and nothing else is left to do
    case '/undefined': return;
    case '/greeting': return { greeting };
    case '/pid': return { pid: process.pid, heap: process.execArgv };
    case '/heap': { // its bound, and that of a worker, in MiB
      const ask = "require('node:worker_threads').parentPort.postMessage(require('node:v8').getHeapStatistics().heap_size_limit)";
      const worker = await new Promise((resolve, reject) => new Worker(ask, { eval: true }).on('message', resolve).on('error', reject));
      return { own: getHeapStatistics().heap_size_limit / 2 ** 20, worker: worker / 2 ** 20 };
    }
    case '/meet': // answers once as many are here as were called together
      return meet(Number(event.queryStringParameters.of));
    case '/log':
      console.log('one %d', 1);
      console.error('two\nlines');
      return {};
    case '/context': {
      const { functionName, functionVersion, memoryLimitInMB, awsRequestId, invokedFunctionArn, logGroupName } = context;
      return {
        functionName, functionVersion, memoryLimitInMB, awsRequestId, invokedFunctionArn, logGroupName,
        left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID, env: process.env.AWS_EXECUTION_ENV,
      };
    }
    default: return echo(event);
  }
};

export const callback = (event, context, done) => {
  switch (event.rawPath) {
    case '/error': return done(new RangeError('called back'));
    case '/late': // answered at once, but what was begun is awaited
      setTimeout(() => console.log('afterwards'), 20);
      return done(null, 'late');
    case '/at-once':
      context.callbackWaitsForEmptyEventLoop = false;
      setTimeout(() => {}, 60_000);
      return done(null, 'at once');
    case '/nothing': return 'is ignored';
    case '/succeed': return context.succeed('succeeded');
    case '/fail': return context.fail(new Error('failed'));
    default: setTimeout(() => done(null, echo(event)), 1);
  }
};

export const stream = awslambda.streamifyResponse(async (event, response, context) => {
  switch (event.rawPath) {
    case '/before': throw new Error('before the first byte');
    case '/raw':
      response.setContentType('text/csv');
      response.write('a,');
      response.end('b');
      return;
    case '/quiet': return; // never ends its stream
  }
  response = awslambda.HttpResponseStream.from(response, {
    statusCode: 201, headers: { 'Content-Type': 'text/plain' }, cookies: ['a=1', 'b=2'],
  });
  if (event.rawPath === '/midway') {
    response.write('first ');
    throw new Error('midway');
  }
  if (event.rawPath === '/large') {
    await pipeline(Readable.from(Array.from({ length: 512 }, () => Buffer.alloc(1 << 14, 'x'))), response);
    return;
  }
  await pipeline(Readable.from(['first ', 'second']), response);
});

export const nested = { deep: { handler: async () => 'nested' } };
export const text = 'no function';
