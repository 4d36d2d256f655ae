use super::scene::{Exchange, SUPPLY, Scene};
use super::{Adversities, Planted, Scenario};
use crate::Address;

pub(super) fn plant(scenario: Scenario, seed: u64, adversities: Adversities) -> Planted {
    // Scenarios of one seed are no relatives.
    let mut scene = Scene::new(seed.wrapping_mul(6).wrapping_add(scenario as u64), adversities);
    let people = match scenario {
        // The whole crowd is among the top holders, where dust does harm.
        Scenario::DustAttack => scene.between(600, 800),
        _ => scene.between(2_000, 3_000),
    };
    let crowd = scene.crowd(people);
    let customers = scene.between(300, 500);
    let mut exchange = scene.exchange(&crowd, customers);
    let planted = match scenario {
        Scenario::InsiderRing => insider_ring(&mut scene, &mut exchange),
        Scenario::PeelChain => peel_chains(&mut scene, &mut exchange),
        Scenario::AirdropFarm => airdrop_farm(&mut scene, &crowd),
        Scenario::ExchangeHub => exchange_hub(&mut scene, &crowd),
        Scenario::DustAttack => dust_attack(&mut scene, &crowd),
        Scenario::WashTraders => wash_traders(&mut scene),
    };
    let everyone = [crowd.as_slice(), &planted].concat();
    scene.strangers(&everyone);
    for &holder in &everyone {
        if scene.one_in(100) {
            let named = scene.any(&everyone);
            scene.pretend(holder, named);
        }
    }
    scene.close(exchange);
    scene.finish()
}

fn insider_ring(scene: &mut Scene, exchange: &mut Exchange) -> Vec<Address> {
    let size = scene.between(20, 60);
    let (wallets, lead) = (scene.wallets(size), scene.deployer);
    let mut team = vec![lead];
    for wallet in wallets {
        let from = scene.any(&team);
        if scene.one_in(10) {
            // From a hundred-millionth of supply on.
            let seed = scene.little(SUPPLY / 100_000_000, 10);
            scene.send(from, wallet, seed);
            let bought = scene.power_law(SUPPLY / 10_000);
            scene.send(scene.pool, wallet, bought);
        } else {
            scene.send_part(from, wallet, 10, 40);
        }
        team.push(wallet);
    }
    for _ in 0..2 * size {
        let (from, to) = (scene.any(&team), scene.any(&team));
        scene.send_part(from, to, 5, 20);
    }
    for &member in &team {
        match scene.random.below(4) {
            0 => scene.send_part(member, scene.pool, 5, 30),
            1 => scene.deposit(exchange, member),
            _ => {}
        }
    }
    scene.party(&team);
    team
}

fn peel_chains(scene: &mut Scene, exchange: &mut Exchange) -> Vec<Address> {
    let mut planted = Vec::new();
    for _ in 0..scene.between(1, 3) {
        let hops = scene.between(15, 40);
        let chain = scene.wallets(hops);
        let stock = scene.between(SUPPLY / 50, SUPPLY / 25);
        scene.send(scene.pool, chain[0], stock);
        for pair in chain.windows(2) {
            if scene.one_in(3) {
                scene.send_part(pair[0], scene.pool, 1, 3);
            }
            if scene.one_in(100) {
                scene.send(pair[0], pair[1], SUPPLY);
            } else {
                scene.send_part(pair[0], pair[1], 88, 97);
            }
        }
        scene.deposit(exchange, chain[chain.len() - 1]);
        scene.party(&chain);
        planted.extend(chain);
    }
    planted
}

fn airdrop_farm(scene: &mut Scene, crowd: &[Address]) -> Vec<Address> {
    let distributor = scene.contract();
    scene.send(scene.deployer, distributor, SUPPLY / 10);
    let claim = SUPPLY / 20_000;
    for &honest in crowd {
        if scene.one_in(8) {
            scene.send(distributor, honest, claim);
        }
    }
    let (size, collector) = (scene.between(60, 150), scene.random.address());
    let wallets = scene.wallets(size);
    for &wallet in &wallets {
        scene.send(distributor, wallet, claim);
    }
    for pair in wallets.windows(2) {
        let to = if scene.one_in(20) { pair[1] } else { collector };
        if scene.one_in(3) {
            scene.send_part(pair[0], to, 40, 80);
        } else {
            scene.send(pair[0], to, SUPPLY);
        }
    }
    scene.send(wallets[wallets.len() - 1], collector, SUPPLY);
    if scene.one_in(10) {
        scene.send(collector, scene.pool, SUPPLY);
    } else {
        for _ in 0..scene.between(2, 5) {
            scene.send_part(collector, scene.pool, 20, 50);
        }
    }
    let farm = [wallets.as_slice(), &[collector]].concat();
    scene.party(&farm);
    farm
}

fn exchange_hub(scene: &mut Scene, crowd: &[Address]) -> Vec<Address> {
    for _ in 0..2 {
        let customers = scene.between(400, 900);
        let exchange = scene.exchange(crowd, customers);
        scene.close(exchange);
    }
    Vec::new()
}

fn dust_attack(scene: &mut Scene, crowd: &[Address]) -> Vec<Address> {
    // A trillionth of supply, and up to 256 times as much.
    const LEAST: u64 = SUPPLY / 1_000_000_000_000;
    let (main, stores, lookalikes) = (scene.random.address(), scene.between(2, 6), scene.between(100, 200));
    scene.send(scene.pool, main, SUPPLY / 2_000);
    let mut victims: Vec<Address> = crowd.iter().copied().filter(|&wallet| scene.held(wallet) > 0).collect();
    victims.sort_unstable_by_key(|&wallet| std::cmp::Reverse(scene.held(wallet)));
    victims.truncate(300);
    let mut party = vec![main];
    for store in scene.wallets(stores) {
        scene.send_part(main, store, 10, 30);
        for _ in 0..scene.between(60, 150) {
            let (victim, speck) = (scene.any(&victims), scene.little(LEAST, 8));
            scene.send(store, victim, speck);
        }
        party.push(store);
    }
    for lookalike in scene.wallets(lookalikes) {
        let (victim, speck) = (scene.any(&victims), scene.little(LEAST, 8));
        scene.pretend(victim, lookalike);
        scene.send(main, lookalike, speck);
        // One in twenty keeps half of it.
        let part = if scene.one_in(20) { speck / 2 } else { speck };
        scene.send(lookalike, victim, part);
        party.push(lookalike);
    }
    scene.party(&party);
    scene.dusters.clone_from(&party);
    party.truncate(1 + usize::try_from(stores).unwrap_or(0));
    party
}

fn wash_traders(scene: &mut Scene) -> Vec<Address> {
    let mut planted = Vec::new();
    for _ in 0..scene.between(1, 3) {
        let size = scene.between(6, 20);
        let group = scene.wallets(size);
        for &member in &group {
            let bought = scene.power_law(SUPPLY / 10_000);
            scene.send(scene.pool, member, bought);
        }
        for _ in 0..scene.between(3, 12) {
            for (position, &member) in group.iter().enumerate() {
                scene.send_part(member, group[(position + 1) % group.len()], 20, 60);
            }
            for &member in &group {
                let bought = scene.power_law(SUPPLY / 40_000);
                scene.send_part(member, scene.pool, 1, 20);
                scene.send(scene.pool, member, bought);
            }
        }
        scene.party(&group);
        planted.extend(group);
    }
    planted
}
