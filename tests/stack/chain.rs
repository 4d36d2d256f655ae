//! A real chain: an ERC-20 contract on a node of our own, read by the deployed worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use clusters::{Address, Amount};
use serde_json::{Value, json};

use crate::stage::Stage;

/// Speaks JSON-RPC to the node as its users do.
struct Node {
    http: reqwest::Client,
    url: String,
}

impl Node {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer: Value = self.http.post(&self.url).json(&body).send().await.unwrap().json().await.unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends a transaction, which makes a block, and gives its receipt.
    async fn send(&self, transaction: Value) -> Value {
        let hash = self.call("eth_sendTransaction", json!([transaction])).await;
        loop {
            let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await;
            if !receipt.is_null() {
                assert_eq!(receipt["status"], "0x1", "{receipt}");
                return receipt;
            }
        }
    }

    /// What a call of a contract's function answers, as a number.
    async fn number(&self, to: &str, data: &str) -> Amount {
        let answer = self.call("eth_call", json!([{ "to": to, "data": data }, "latest"])).await;
        Amount::from_str_radix(answer.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}

/// The contract's code, by the real compiler.
fn compiled() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("../target/node/node_modules");
    let mut node = Command::new("node");
    node.arg(root.join("stack/compile.js")).arg(root.join("stack/Token.sol")).env("NODE_PATH", modules);
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn word(value: Amount) -> String {
    format!("{value:064x}")
}

fn padded(address: &str) -> String {
    format!("{:0>64}", address.trim_start_matches("0x"))
}

#[tokio::test]
async fn a_real_contracts_holders_are_exact() {
    let stage = Stage::enter().await;
    let Some(url) = stage.deployment.servers.as_ref().and_then(|servers| servers.anvil_url.clone()) else {
        println!("skipped: no anvil here (it is installed by npm), so there is no chain to read");
        return;
    };
    let node = Node { http: reqwest::Client::new(), url };
    let accounts: Vec<String> = serde_json::from_value(node.call("eth_accounts", json!([])).await).unwrap();
    let supply = Amount::from(1_000_000_u64) * Amount::from(10_u64).pow(Amount::from(18_u64));
    let data = format!("0x{}{}", compiled(), word(supply));
    let receipt = node.send(json!({ "from": accounts[0], "data": data, "gas": "0x300000" })).await;
    let token = receipt["contractAddress"].as_str().unwrap().to_owned();

    // The maker hands out 10,000 less 100 to each; then two rings trade among themselves.
    let coin = |coins: u64| Amount::from(coins) * Amount::from(10_u64).pow(Amount::from(18_u64));
    let mut transfers = Vec::new();
    for (place, account) in accounts.iter().enumerate().skip(1) {
        transfers.push((0, account.clone(), coin(10_000 - 100 * place as u64)));
    }
    for ring in [[3, 4, 5], [8, 9, 10]] {
        for (from, to) in [(ring[0], ring[1]), (ring[1], ring[2]), (ring[1], ring[0]), (ring[2], ring[1])] {
            transfers.push((from, accounts[to].clone(), coin(10)));
        }
    }
    for (from, to, value) in &transfers {
        let data = format!("0xa9059cbb{}{}", padded(to), word(*value));
        node.send(json!({ "from": accounts[*from], "to": token, "data": data, "gas": "0x30000" })).await;
    }
    // Blocks near the head are left alone until no reorganisation can change them.
    node.call("anvil_mine", json!(["0x20"])).await;

    let mut balances = BTreeMap::new();
    for account in &accounts {
        let data = format!("0x70a08231{}", padded(account));
        let address: Address = account.parse().unwrap();
        balances.insert(address.to_string(), node.number(&token, &data).await);
    }
    assert_eq!(balances.values().fold(Amount::ZERO, |sum, balance| sum + balance), supply);

    let metadata = stage.get(&format!("/v1/tokens/anvil/{token}")).await.expect(200).json();
    let said = ["name", "symbol", "decimals", "totalSupply"].map(|field| metadata[field].clone());
    assert_eq!(said, [json!("Tidewater"), json!("TIDE"), json!(18), json!(supply.to_string())]);

    // With a hub from ten counterparties on, the maker, who dealt with everybody, joins nobody.
    let path = format!("/v1/tokens/anvil/{token}/clusters?hubDegree=10");
    let report = stage.until(&path, "made", |answer| answer.status == 200).await.json();
    let found: BTreeMap<String, Amount> = report["holders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|holder| {
            let amount = Amount::from_str_radix(holder["amount"].as_str().unwrap(), 10).unwrap();
            (holder["address"].as_str().unwrap().to_owned(), amount)
        })
        .collect();
    assert_eq!(found, balances, "every balance is what the contract says");

    let members = |cluster: &Value| -> Vec<String> {
        let members = cluster["members"].as_array().unwrap().iter();
        let mut members: Vec<String> =
            members.map(|member| member.as_str().or(member["address"].as_str()).unwrap().to_owned()).collect();
        members.sort();
        members
    };
    let mut clusters: Vec<_> = report["clusters"].as_array().unwrap().iter().map(members).collect();
    clusters.sort();
    let mut expected: Vec<_> = [[3, 4, 5], [8, 9, 10]]
        .iter()
        .map(|ring| {
            let mut ring: Vec<_> =
                ring.iter().map(|at| accounts[*at].parse::<Address>().unwrap().to_string()).collect();
            ring.sort();
            ring
        })
        .collect();
    expected.sort();
    assert_eq!(clusters, expected);
}
