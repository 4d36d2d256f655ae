// What aws-jwt-verify says of access tokens. The first line of the standard input is
// {"now": seconds, "graceSeconds": seconds, "pools": [{"userPoolId", "clientId": [], "jwks"}]}, every other one a token as
// a JSON string. Each is answered by a line: `accepted`, or `refused` and the error's name.
// Run with NODE_PATH at a node_modules that has the package; nothing is fetched.
"use strict";
const { CognitoJwtVerifier } = require("aws-jwt-verify");

function open({ now, graceSeconds, pools }) {
  Date.now = () => now * 1000;
  const rules = pools.map(({ userPoolId, clientId }) => ({ userPoolId, clientId, graceSeconds, tokenUse: "access" }));
  const verifier = CognitoJwtVerifier.create(rules);
  for (const { jwks, userPoolId } of pools) verifier.cacheJwks(jwks, userPoolId);
  return verifier;
}

function answer(verifier, line) {
  try {
    verifier.verifySync(JSON.parse(line));
    return "accepted\n";
  } catch (error) {
    return `refused ${error.name}\n`;
  }
}

let verifier;
let rest = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  let answers = "";
  for (const line of lines) {
    if (verifier) answers += answer(verifier, line);
    else verifier = open(JSON.parse(line));
  }
  process.stdout.write(answers);
});
