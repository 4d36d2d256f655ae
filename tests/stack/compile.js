// Prints the creation code of the one contract in a Solidity file, in hex.
const fs = require("fs");
const solc = require("solc");

const content = fs.readFileSync(process.argv[2], "utf8");
const input = {
  language: "Solidity",
  sources: { "Token.sol": { content } },
  settings: { evmVersion: "paris", outputSelection: { "*": { "*": ["evm.bytecode.object"] } } },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  errors.forEach((error) => console.error(error.formattedMessage));
  process.exit(1);
}
console.log(output.contracts["Token.sol"].Token.evm.bytecode.object);
