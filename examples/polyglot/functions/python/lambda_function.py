from urllib.parse import unquote


def lambda_handler(event, context):
    name = unquote(event["rawPath"].split("/")[-1])
    return {"greeting": f"Ciao, {name}", "from": "Python, as a Lambda function"}
