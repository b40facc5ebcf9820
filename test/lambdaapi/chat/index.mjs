// A function behind a WebSocket, as it is written for API Gateway.
export const handler = async (event) => {
  const { routeKey, eventType, connectionId, domainName, stage, identity, disconnectStatusCode } = event.requestContext;
  switch (eventType) {
    case 'CONNECT':
      if (event.queryStringParameters?.token === 'wrong') return { statusCode: 401 };
      return { statusCode: 200, headers: { 'Sec-WebSocket-Protocol': 'chat' } };
    case 'DISCONNECT':
      console.log(`left ${connectionId} ${disconnectStatusCode}`);
      return {};
    default:
      if (event.body === 'throw') throw new Error('out of tea');
      return { statusCode: 200, body: JSON.stringify({ routeKey, connectionId, domainName, stage, ip: identity.sourceIp, body: event.body, encoded: event.isBase64Encoded }) };
  }
};
