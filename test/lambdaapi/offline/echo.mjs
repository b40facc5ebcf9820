// Answers with what it was asked, and fails where it is told to.
export const handler = async (event) => {
  if (event.rawQueryString === 'throw') throw new Error('out of tea');
  return { statusCode: 201, headers: { 'X-Method': event.requestContext.http.method }, cookies: ['a=1'], body: JSON.stringify({ path: event.rawPath, query: event.rawQueryString, body: event.body ?? null, version: event.version }) };
};
