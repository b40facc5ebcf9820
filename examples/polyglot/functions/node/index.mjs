export const handler = async ({ rawPath }) => {
  const name = decodeURIComponent(rawPath.split('/').pop());
  return { greeting: `Hei, ${name}`, from: 'JavaScript, as a Lambda function' };
};
