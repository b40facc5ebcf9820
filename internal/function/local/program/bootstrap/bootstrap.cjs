// This program connects AWS Lambda's Runtime API to a handler written for
// Node.js. It loads the handler that _HANDLER names. Then it runs a loop: it
// asks for an event, calls the handler, and posts the result.
//
//   https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
//   https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
//
// With AWS_LAMBDA_MAX_CONCURRENCY=N it runs N loops at once: handlers
// interleave where they await. It uses only Node.js's own library.
'use strict';

// Node.js ships its own library compiled for V8's default flags. With any other flag set, it
// recompiles everything that it loads, which takes 10 ms of each start. The flag for the size
// of the heap takes effect when the process starts, and afterwards only for workers. So it is
// reset to the default while modules are loaded, and the heap keeps its limit.
const v8 = require('node:v8');
const heapFlag = process.execArgv.find((flag) => flag.startsWith('--max-old-space-size='));
if (heapFlag) v8.setFlagsFromString('--max-old-space-size=0'); // the default

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { Writable } = require('node:stream');
const { pathToFileURL } = require('node:url');
const { format } = require('node:util');

const env = process.env;
const places = Math.max(1, Number.parseInt(env.AWS_LAMBDA_MAX_CONCURRENCY, 10) || 1);

/* ---- The Runtime API ---- */

const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: places * 2 });

// request starts a call. The call's answer resolves to { status, headers, body }.
function request(method, where, headers = {}) {
  const call = http.request({ agent, host, port, method, path: '/2018-06-01/runtime' + where, headers });
  const answer = new Promise((resolve, reject) => {
    call.on('error', reject);
    call.on('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString('utf8'),
      }));
    });
  });
  answer.catch(() => {}); // code that awaits it also sees the error
  return { call, answer };
}

function send(method, where, headers, body) {
  const { call, answer } = request(method, where, headers);
  call.end(body);
  return answer;
}

function post(where, body, headers) {
  const bytes = Buffer.from(body, 'utf8');
  return send('POST', where, { 'Content-Type': 'application/json', 'Content-Length': bytes.length, ...headers }, bytes);
}

/* ---- Errors, in AWS's form ---- */

// named returns an error of a type that AWS has a name for.
function named(type, message, cause) {
  const error = new Error(message, { cause });
  error.name = type;
  if (cause instanceof Error) error.stack = `${type}: ${message}\n${cause.stack}`;
  return error;
}

// traceOf returns the lines of a stack down to the handler. The frames below belong to this file.
function traceOf(error) {
  const lines = String(error.stack ?? '').split('\n');
  const own = lines.findIndex((line) => line.includes(__filename));
  return own < 0 ? lines : lines.slice(0, own);
}

function errorBody(error) {
  if (error instanceof Error || (typeof error === 'object' && error !== null && 'message' in error && 'stack' in error)) {
    return { errorType: String(error.name ?? 'Error'), errorMessage: String(error.message), trace: traceOf(error) };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// postError reports an error to the Runtime API. It never fails.
async function postError(where, error) {
  const body = errorBody(error);
  console.error(`${where === '/init/error' ? 'Init' : 'Invoke'} Error`, JSON.stringify(body));
  const type = body.errorType.replace(/[^\x21-\x7e]/g, '?');
  try {
    await post(where, JSON.stringify(body), { 'Lambda-Runtime-Function-Error-Type': type });
  } catch {
    // The Runtime API cannot be reached.
  }
}

/* ---- Output of console ---- */

const current = new AsyncLocalStorage(); // the invocation to which the running code belongs

// patchConsole makes console write lines in AWS's form: time, request id, level,
// text. A text of several lines stays on one line, as in AWS's logs.
function patchConsole() {
  const levels = { trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR' };
  const order = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
  const least = order.indexOf(env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()); // -1 if all levels are wanted
  const json = env.AWS_LAMBDA_LOG_FORMAT === 'JSON';
  for (const [name, level] of Object.entries(levels)) {
    if (order.indexOf(level) < least) {
      console[name] = () => {};
      continue;
    }
    const out = name === 'log' || name === 'info' || name === 'debug' ? process.stdout : process.stderr;
    console[name] = (...parts) => {
      const time = new Date().toISOString();
      const id = current.getStore()?.id;
      let text = format(...parts);
      if (name === 'trace') text = new Error(text).stack.replace(/^Error/, 'Trace');
      out.write(json
        ? JSON.stringify({ timestamp: time, level, requestId: id, message: text }) + '\n'
        : `${time}\t${id ?? 'undefined'}\t${level}\t${text.replace(/\r?\n/g, '\r')}\n`);
    };
  }
}

/* ---- Streamed responses ---- */

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = 'response';
    if (options?.highWaterMark !== undefined) handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = options.highWaterMark;
    return handler;
  },
  HttpResponseStream: {
    // from puts a status and header fields before the body.
    from(stream, prelude) {
      stream.setContentType(PRELUDE_TYPE);
      stream.prelude = prelude;
      return stream;
    },
  },
};

// ResponseStream is the body of a streamed response. The response begins with
// the first bytes. Until then, an error can still replace all of it.
class ResponseStream extends Writable {
  constructor(id, highWaterMark) {
    super({ highWaterMark });
    this.id = id;
    this.type = 'application/octet-stream';
    this.prelude = undefined;
    this.sent = undefined;
  }

  setContentType(type) {
    this.type = type;
  }

  begin() {
    if (this.sent) return;
    this.sent = request('POST', `/invocation/${this.id}/response`, {
      'Content-Type': this.type, 'Transfer-Encoding': 'chunked',
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    });
    this.sent.call.on('error', (error) => this.destroy(error));
    if (this.prelude !== undefined) {
      this.sent.call.write(JSON.stringify(this.prelude));
      this.sent.call.write(Buffer.alloc(8));
    }
  }

  _write(chunk, encoding, done) {
    this.begin();
    if (this.sent.call.write(chunk)) done();
    else this.sent.call.once('drain', done);
  }

  _final(done) {
    this.begin();
    this.sent.call.end();
    this.sent.answer.then(() => done(), done);
  }

  // fail ends a response that has begun. The error follows the body as trailers.
  async fail(error) {
    const body = errorBody(error);
    console.error('Invoke Error', JSON.stringify(body));
    this.sent.call.addTrailers({
      'Lambda-Runtime-Function-Error-Type': body.errorType.replace(/[^\x21-\x7e]/g, '?'),
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(body)).toString('base64'),
    });
    this.sent.call.end();
    await this.sent.answer.catch(() => {});
    this.destroy();
  }
}

/* ---- One invocation ---- */

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const parsed = (text) => (text ? JSON.parse(text) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed(headers['lambda-runtime-client-context']),
    identity: parsed(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    xRayTraceId: headers['lambda-runtime-trace-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

// The functions in idle are called when this process has nothing left to do.
// Then a handler that gave no result has ended, and the result of one that has
// called back may be sent.
const idle = new Set();
process.on('beforeExit', () => {
  for (const done of [...idle]) done();
});

// called returns the result of a handler of any form: async, with a callback, or
// neither. A handler that has nothing left to do has ended, and its result is null.
function called(handler, event, context) {
  return new Promise((resolve, reject) => {
    let over = false;
    const quiet = () => settle(null, null, true);
    const settle = (error, result, now) => {
      if (over) return;
      over = true;
      const end = () => {
        idle.delete(end);
        if (error !== undefined && error !== null) reject(error);
        else resolve(result);
      };
      idle.delete(quiet);
      // With several places the process is never idle, because it waits for events.
      if (error || now || places > 1 || !context.callbackWaitsForEmptyEventLoop) end();
      else idle.add(end);
    };
    context.done = (error, result) => settle(error, result);
    context.succeed = (result) => settle(null, result);
    context.fail = (error) => settle(error ?? 'handled');
    if (places === 1) idle.add(quiet);
    let result;
    try {
      result = handler(event, context, context.done);
    } catch (error) {
      settle(error);
      return;
    }
    if (typeof result?.then === 'function') {
      result.then((value) => settle(null, value, true), (error) => settle(error ?? named('Error', String(error))));
    } else if (places > 1 && handler.length < 3) {
      settle(null, result);
    }
  });
}

async function answer(handler, event, context) {
  const where = `/invocation/${context.awsRequestId}`;
  let text;
  try {
    const result = await called(handler, event, context);
    try {
      text = JSON.stringify(result === undefined ? null : result) ?? 'null';
    } catch (error) {
      throw named('Error', `Unable to stringify response body: ${error.message}`, error);
    }
  } catch (error) {
    await postError(where + '/error', error);
    return;
  }
  await post(where + '/response', text);
}

async function stream(handler, event, context) {
  const body = new ResponseStream(context.awsRequestId, handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')]);
  const ended = new Promise((resolve, reject) => {
    body.on('finish', resolve);
    body.on('error', reject);
    body.on('close', resolve);
    if (places > 1) return;
    const quiet = () => reject(named('Runtime.StreamNotEnded', 'the handler has nothing left to do, and has not ended its stream'));
    idle.add(quiet);
    body.on('close', () => idle.delete(quiet));
  });
  ended.catch(() => {}); // it is awaited below, unless the handler fails first
  try {
    await handler(event, body, context);
    await ended;
  } catch (error) {
    if (body.writableFinished) console.error('Invoke Error', JSON.stringify(errorBody(error))); // the response has been sent
    else if (body.sent) await body.fail(error);
    else {
      body.destroy();
      await postError(`/invocation/${context.awsRequestId}/error`, error);
    }
  }
}

async function round(handler) {
  const { headers, body } = await send('GET', '/invocation/next');
  const id = headers['lambda-runtime-aws-request-id'];
  const trace = headers['lambda-runtime-trace-id'];
  if (places === 1 && trace) env._X_AMZN_TRACE_ID = trace; // with several places only context.xRayTraceId has it
  await current.run({ id }, async () => {
    let event, context;
    try {
      event = JSON.parse(body);
      context = contextOf(headers);
    } catch (error) {
      await postError(`/invocation/${id}/error`, named('Runtime.UnmarshalError', error.message, error));
      return;
    }
    running.add(id);
    try {
      await (handler[STREAMING] ? stream : answer)(handler, event, context);
    } finally {
      running.delete(id);
    }
  });
}

/* ---- Finding the handler ---- */

// locate returns the file of a module, which it looks up as AWS's runtime does.
function locate(module) {
  for (const suffix of ['', '.js', '.mjs', '.cjs']) {
    const file = module + suffix;
    if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) return file;
  }
  // It is a package, as the wrapper of an agent is.
  return require.resolve(path.relative(env.LAMBDA_TASK_ROOT, module), { paths: [env.LAMBDA_TASK_ROOT, ...(env.NODE_PATH ?? '').split(path.delimiter)] });
}

// isESModule reports whether the file must be loaded with import.
function isESModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (!file.endsWith('.js')) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    if (path.basename(folder) === 'node_modules') return false;
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function load(name) {
  const base = path.basename(name);
  const dot = base.indexOf('.');
  if (name.includes('..') || dot <= 0 || dot === base.length - 1) {
    throw named('Runtime.MalformedHandlerName', `'${name}' is no handler: it is a file and what it exports, as index.handler`);
  }
  const module = path.resolve(env.LAMBDA_TASK_ROOT, path.dirname(name), base.slice(0, dot));
  let exported;
  try {
    const file = locate(module);
    exported = isESModule(file) ? await import(pathToFileURL(file).href) : require(file);
  } catch (error) {
    if (error instanceof SyntaxError) throw named('Runtime.UserCodeSyntaxError', String(error), error);
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw named('Runtime.ImportModuleError', String(error), error);
    }
    throw error;
  }
  const export_ = base.slice(dot + 1);
  const find = (from) => export_.split('.').reduce((value, key) => value?.[key], from);
  const handler = find(exported) ?? find(exported?.default);
  if (typeof handler !== 'function') {
    throw named('Runtime.HandlerNotFound', handler === undefined
      ? `${name} is undefined or not exported`
      : `${name} is not a function`);
  }
  return handler;
}

/* ---- The life of the process ---- */

const running = new Set(); // ids of invocations that have not been answered yet

// fatal ends the process because of an error that no code has caught. The error
// is reported for all running invocations, or as an init error if none runs.
function fatal(status, error) {
  const told = running.size > 0
    ? [...running].map((id) => current.run({ id }, () => postError(`/invocation/${id}/error`, error)))
    : [postError('/init/error', error)];
  Promise.all(told).finally(() => process.exit(status));
}

async function main() {
  patchConsole();
  process.on('uncaughtException', (error) => fatal(129, error));
  process.on('unhandledRejection', (reason) => fatal(128, named('Runtime.UnhandledPromiseRejection', String(reason), reason)));
  let handler;
  try {
    handler = await load(env._HANDLER);
    if (heapFlag) v8.setFlagsFromString(heapFlag);
  } catch (error) {
    await postError('/init/error', error);
    process.exit(1);
  }
  try {
    await Promise.all(Array.from({ length: places }, async () => {
      for (;;) await round(handler);
    }));
  } catch {
    process.exit(1); // the Runtime API has ended or refused a response, so this instance ends
  }
}

main();
