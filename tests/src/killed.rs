//! Sign-up, confirmation and deletion whose process dies: whichever call or poll is the last, what is asked again does
//! the rest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use access::messages::{Message, REMOVE_ACCOUNT, RemoveAccount};
use access::tables::{POOL_ADDRESSES, POOL_TABLES, POOL_USERS, REFERRAL_CODES, REFERRALS, SIGNUPS, TABLES, USERS};
use access::{EmailAddress, JobState, Jobs};
use futures::future::join_all;
use identity::{Code, NewUser, Password, PasswordAttempt, PoolError, SignIn, UserId, UserStatus};
use serde_json::{Value, json};

use crate::accounts::{ANOTHER, PASSWORD};
use crate::faults::{MOMENTS, Moment, Mortal};
use crate::world::{Answer, World};

/// After so long a message that nobody has taken is sent again.
const PATIENCE: Duration = Duration::from_secs(16 * 60);
/// After so long a worker that does not go on is taken for dead.
const LEASE: Duration = Duration::from_secs(61);

/// Somebody with the code of a member who has given it to nobody else.
struct Invited {
    email: EmailAddress,
    /// The inviter's account id.
    owner: String,
    code: String,
}

/// An address nobody else connects from.
fn somewhere() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, a, b, c] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

impl Invited {
    fn sign_up(&self) -> Value {
        json!({ "email": self.email.as_str(), "password": PASSWORD, "referralCode": self.code })
    }
}

impl World {
    async fn invited(&self, name: &str) -> Invited {
        let owner = format!("inviter-of-{name}");
        self.app.members.create_user(&owner).await.unwrap();
        let code = self.app.members.find(&owner).await.unwrap().unwrap().referral_code.to_string();
        let email = EmailAddress::new(&format!("{name}@example.org")).unwrap();
        Invited { email, owner, code }
    }

    /// Signed up, and with a code in the mail.
    async fn unconfirmed(&self, name: &str) -> Invited {
        let ben = self.invited(name).await;
        let begun = self.app.users.sign_up(&ben.email, &Password::new(PASSWORD).unwrap()).await.unwrap();
        self.app.members.bind(begun.sub.as_str(), &ben.code.parse().unwrap()).await.unwrap();
        ben
    }

    /// A member who has invited somebody, with a bearer token.
    async fn settled(&self, name: &str) -> (Invited, UserId, String) {
        let ben = self.unconfirmed(name).await;
        let code = Code::new(&self.code_for(ben.email.as_str()).await).unwrap();
        let sub = self.app.users.confirm_sign_up(&ben.email, &code).await.unwrap().sub;
        self.app.members.join(sub.as_str(), &ben.email).await.unwrap();
        let own = self.app.members.find(sub.as_str()).await.unwrap().unwrap().referral_code;
        self.app.members.referral_use(&own, &format!("invitee-of-{name}")).await.unwrap();
        let token = self.token_of(&ben).await;
        (ben, sub, token)
    }

    async fn token_of(&self, ben: &Invited) -> String {
        let tokens = self.app.users.sign_in(&ben.email, &PasswordAttempt::new(PASSWORD)).await.unwrap();
        let SignIn::Tokens(tokens) = tokens else { panic!("nothing else is asked") };
        tokens.access.as_str().to_owned()
    }

    /// Confirmed, a member by the inviter's code, and the one place taken once.
    async fn assert_joined(&self, ben: &Invited) {
        let user = self.app.users.find(&ben.email).await.unwrap().expect("an account");
        assert_eq!(user.status, UserStatus::Confirmed);
        let member = self.app.members.find(user.sub.as_str()).await.unwrap().expect("a confirmed account has its rows");
        assert_eq!(member.invited_by.as_ref(), Some(&ben.owner));
        let owner = self.app.members.find(&ben.owner).await.unwrap().unwrap();
        assert_eq!(owner.referrals_used, 1);
        let list = self.app.members.referrals_of(&ben.owner, None, 10).await.unwrap().items;
        let invited: Vec<_> = list.iter().map(|referral| referral.invited_user.as_str()).collect();
        assert_eq!(invited, [user.sub.as_str()]);
    }

    /// Nobody finds the account, gets into it or is still in it.
    async fn assert_gone(&self, (ben, sub, token): &(Invited, UserId, String)) {
        assert_eq!(self.app.users.find(&ben.email).await.unwrap(), None);
        assert_eq!(self.app.users.find_by_sub(sub).await.unwrap(), None);
        assert_eq!(self.app.members.find(sub.as_str()).await.unwrap(), None);
        let signed_in = self.app.users.sign_in(&ben.email, &PasswordAttempt::new(PASSWORD)).await;
        assert!(matches!(signed_in, Err(PoolError::WrongCredentials)));
        let answer = self.bearer(token).from(&somewhere()).get("/v1/auth/whoami").await;
        answer.assert_problem(403, "token_revoked");
    }

    /// What is left of all these accounts is that there were such ids. Whom they invited and who invited them are
    /// there as before.
    async fn assert_no_trace(&self, people: &[(Invited, UserId, String)]) {
        let emptied = [&POOL_USERS, &POOL_ADDRESSES, &REFERRAL_CODES, &REFERRALS, &SIGNUPS];
        for table in TABLES.into_iter().chain(POOL_TABLES) {
            let rows = self.rows().texts(table).await;
            let naming = |text: &str| rows.iter().filter(|row| row.contains(text)).count();
            for (ben, sub, _) in people {
                assert_eq!(naming(ben.email.as_str()), 0, "an address in {}", table.name);
                if emptied.contains(&table) {
                    assert_eq!(naming(sub.as_str()), 0, "an id in {}", table.name);
                }
                if table == &USERS {
                    assert_eq!(naming(sub.as_str()), 1);
                }
            }
        }
        assert_eq!(self.rows().check_members().await, 2 * people.len());
    }

    /// Lets time pass until what was lost is sent again, and all of it be done.
    async fn later(&self) {
        self.work_all().await;
        self.clock.advance(PATIENCE);
        self.sweep().await;
        self.work_all().await;
    }

    /// The templates of all letters by address, oldest first.
    async fn letters(&self) -> HashMap<String, Vec<String>> {
        let mut letters: HashMap<_, Vec<_>> = HashMap::new();
        for filed in self.outbox.list(usize::MAX, None).await.unwrap().into_iter().rev() {
            letters.entry(filed.to.as_str().to_owned()).or_default().push(filed.template);
        }
        letters
    }

    async fn confirm_as(&self, body: &Value) -> Answer {
        self.anon().from(&somewhere()).post("/v1/auth/confirm", body).await
    }
}

/// What somebody does whose confirmation was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Repeats,
    SignsIn,
}

/// Confirmations that die at every call, one after the other; how many calls there are, and who it was.
async fn confirmations(world: &World, password: bool, next: Next, moment: Moment) -> (usize, Vec<Invited>) {
    let mut people = Vec::new();
    for at in 1.. {
        let ben = world.unconfirmed(&format!("{password}-{next:?}-{moment:?}-{at}").to_lowercase()).await;
        let mut body = json!({ "email": ben.email.as_str(), "code": world.code_for(ben.email.as_str()).await });
        if password {
            body["password"] = json!(PASSWORD);
        }
        let process = world.doomed(at, moment).await;
        let asked = world.anon().at(process.router());
        let answer = process.faults.unless_stopped(asked.post("/v1/auth/confirm", &body)).await;
        match (&answer, next) {
            (Some(answer), _) => drop(answer.assert(200)),
            (None, Next::Repeats) => {
                let again = world.confirm_as(&body).await;
                if !password && again.status == 400 {
                    // With a code alone nobody learns that it was confirmed before.
                    again.assert_problem(400, "code_wrong");
                } else {
                    again.assert(200);
                }
            }
            (None, Next::SignsIn) => {
                let credentials = json!({ "email": ben.email.as_str(), "password": PASSWORD });
                let signed_in = world.anon().from(&somewhere()).post("/v1/auth/signin", &credentials).await;
                if signed_in.status == 409 {
                    signed_in.assert_problem(409, "unconfirmed");
                    world.confirm_as(&body).await.assert(200);
                } else {
                    signed_in.assert(200);
                }
            }
        }
        world.assert_joined(&ben).await;
        people.push(ben);
        if answer.is_some() {
            return (at - 1, people);
        }
    }
    unreachable!("it ends when a process outlives its last call")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_killed_at_any_call_is_finished_by_the_next_or_by_a_sign_in() {
    let world = World::new().await;
    let mut groups = Vec::new();
    for password in [false, true] {
        for next in [Next::Repeats, Next::SignsIn] {
            groups.extend(MOMENTS.map(|moment| (password, next, moment)));
        }
    }
    let runs = groups.iter().map(|&(password, next, moment)| confirmations(&world, password, next, moment));
    let runs = join_all(runs).await;
    world.later().await;
    let letters = world.letters().await;
    let mut members = 0;
    for ((password, next, moment), (calls, people)) in groups.into_iter().zip(runs) {
        println!("confirm, password: {password}, killed {moment:?} each of {calls} calls, then {next:?}");
        assert!(calls > 10, "{calls}");
        members += 2 * people.len();
        for ben in people {
            assert_eq!(letters[ben.email.as_str()], ["confirm-code", "welcome"]);
        }
    }
    assert_eq!(world.rows().check_members().await, members);
}

/// How a sign-up finds its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    New,
    /// Somebody has signed up with it and never confirmed.
    Unconfirmed,
    Confirmed,
}

impl World {
    async fn at_address(&self, name: &str, address: Address) -> Invited {
        let ben = self.invited(name).await;
        let (email, password) = (ben.email.clone(), Password::new(ANOTHER).unwrap());
        match address {
            Address::New => {}
            Address::Unconfirmed => drop(self.app.users.sign_up(&email, &password).await.unwrap()),
            Address::Confirmed => {
                let made = NewUser { email, password, password_is_temporary: false };
                let sub = self.app.users.create_user(&made).await.unwrap();
                self.app.members.create_user(sub.as_str()).await.unwrap();
            }
        }
        ben
    }

    async fn sign_up_as(&self, ben: &Invited) -> Answer {
        self.anon().from(&somewhere()).post("/v1/auth/signup", &ben.sign_up()).await
    }

    /// A sign-up that was answered leads to a member, unless the address belongs to one.
    async fn assert_signed_up(&self, ben: &Invited, address: Address) {
        if address == Address::Confirmed {
            let signed_in = self.app.users.sign_in(&ben.email, &PasswordAttempt::new(ANOTHER)).await;
            assert!(matches!(signed_in, Ok(SignIn::Tokens(_))), "the owner's password stays");
            return;
        }
        let code = self.code_for(ben.email.as_str()).await;
        let body = json!({ "email": ben.email.as_str(), "code": code, "password": PASSWORD });
        self.confirm_as(&body).await.assert(200);
        self.assert_joined(ben).await;
    }

    /// Afterwards every letter has come once, and no account is there that its address does not lead to.
    async fn assert_all_signed_up(&self, people: &[(Invited, Address)]) {
        self.later().await;
        let letters = self.letters().await;
        for (ben, address) in people {
            let letters = &letters[ben.email.as_str()];
            let (last, before) = letters.split_last().unwrap();
            assert_eq!(last, if *address == Address::Confirmed { "account-exists" } else { "welcome" });
            assert!(before.iter().all(|letter| letter == "confirm-code"), "{letters:?}");
        }
        assert_eq!(self.rows().check_members().await, 2 * people.len());
        let rows = self.rows();
        assert_eq!(rows.texts(&POOL_USERS).await.len(), rows.texts(&POOL_ADDRESSES).await.len());
    }
}

async fn sign_ups(world: &World, address: Address, moment: Moment) -> Vec<(Invited, Address)> {
    let mut people = Vec::new();
    for at in 1.. {
        let ben = world.at_address(&format!("{address:?}-{moment:?}-{at}").to_lowercase(), address).await;
        let process = world.doomed(at, moment).await;
        let asked = world.anon().at(process.router());
        let answer = process.faults.unless_stopped(asked.post("/v1/auth/signup", &ben.sign_up())).await;
        let done = answer.is_some();
        let answer = match answer {
            Some(answer) => answer,
            None => world.sign_up_as(&ben).await,
        };
        answer.assert(201);
        world.assert_signed_up(&ben, address).await;
        people.push((ben, address));
        if done {
            println!("sign-up, address {address:?}, killed {moment:?} each of {} calls", at - 1);
            return people;
        }
    }
    unreachable!("it ends when a process outlives its last call")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_killed_at_any_call_and_repeated_can_be_confirmed_with_its_referral() {
    let world = World::new().await;
    let mut groups = Vec::new();
    for address in [Address::New, Address::Unconfirmed, Address::Confirmed] {
        groups.extend(MOMENTS.map(|moment| sign_ups(&world, address, moment)));
    }
    let people: Vec<_> = join_all(groups).await.into_iter().flatten().collect();
    assert!(people.len() > 40, "{} sign-ups", people.len());
    world.assert_all_signed_up(&people).await;
}

impl World {
    /// Deletes the account of somebody who may have been answered nothing: where the token serves no more, signs in.
    async fn delete_again(&self, ben: &Invited, token: &str) {
        let body = json!({ "password": PASSWORD });
        let again = self.bearer(token).from(&somewhere()).delete("/v1/auth/account", &body).await;
        if again.status == 202 {
            return;
        }
        again.assert_problem(403, "token_revoked");
        // Within the second of a sign-out everywhere, new tokens are refused too.
        self.clock.advance(Duration::from_secs(1));
        let token = self.token_of(ben).await;
        self.bearer(&token).from(&somewhere()).delete("/v1/auth/account", &body).await.assert(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_killed_at_any_call_and_repeated_leaves_nothing() {
    let world = World::new().await;
    let mut people = Vec::new();
    for moment in MOMENTS {
        for at in 1.. {
            let (ben, sub, token) = world.settled(&format!("{moment:?}-{at}").to_lowercase()).await;
            let process = world.doomed(at, moment).await;
            let asked = world.bearer(&token).at(process.router());
            let body = json!({ "password": PASSWORD });
            let answer = process.faults.unless_stopped(asked.delete("/v1/auth/account", &body)).await;
            match &answer {
                Some(answer) => drop(answer.assert(202)),
                None => world.delete_again(&ben, &token).await,
            }
            people.push((ben, sub, token));
            if answer.is_some() {
                println!("delete, killed {moment:?} each of {} calls", at - 1);
                break;
            }
        }
    }
    world.later().await;
    for person in &people {
        world.assert_gone(person).await;
    }
    world.assert_no_trace(&people).await;
    assert!(people.len() > 16, "{} deletions", people.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_killed_at_any_call_is_finished_when_its_message_comes_again() {
    let world = World::new().await;
    let workers = lambdas::workers();
    let worker = workers.iter().find(|worker| *worker.queue == REMOVE_ACCOUNT).unwrap();
    let mut people = Vec::new();
    for moment in MOMENTS {
        for at in 1.. {
            let (ben, sub, token) = world.settled(&format!("{moment:?}-{at}").to_lowercase()).await;
            let body = json!({ "password": PASSWORD });
            world.bearer(&token).delete("/v1/auth/account", &body).await.assert(202);
            let delivery = world.receive(&REMOVE_ACCOUNT).await.unwrap();
            let process = world.doomed(at, moment).await;
            let work = worker::process(worker, &process.app, vec![delivery.clone()], Duration::from_secs(30));
            let failed = process.faults.unless_stopped(work).await;
            world.clock.advance(LEASE);
            // Also after it was done: a message may come twice.
            assert!(world.handle(&REMOVE_ACCOUNT, delivery).await);
            let job = world.app.jobs.find(&Jobs::id(RemoveAccount::KIND, sub.as_str())).await.unwrap().unwrap();
            assert_eq!(job.view.state, JobState::Done);
            let person = (ben, sub, token);
            world.assert_gone(&person).await;
            people.push(person);
            if let Some(failed) = failed {
                assert_eq!(failed, Vec::<String>::new());
                println!("removal, killed {moment:?} each of {} calls", at - 1);
                break;
            }
        }
    }
    world.assert_no_trace(&people).await;
    assert!(people.len() > 30, "{} removals", people.len());
}

/// Calls `run` with 0, 1, … polls, some at once, until none of several is killed any more; how many were. How often a
/// call is polled differs from time to time.
async fn at_each_poll(run: impl AsyncFn(usize) -> bool) -> usize {
    const AT_ONCE: usize = 6;
    let mut killed = 0;
    for first in (0..).step_by(AT_ONCE) {
        let outlived = join_all((first..first + AT_ONCE).map(|polls| run(polls))).await;
        let dead = outlived.iter().filter(|outlived| !**outlived).count();
        killed += dead;
        if dead == 0 {
            return killed;
        }
    }
    unreachable!("it ends when none is killed")
}

#[tokio::test]
async fn a_confirmation_killed_between_any_two_polls_is_finished_by_the_next() {
    let world = World::new().await;
    let killed = at_each_poll(async |polls| {
        let ben = world.unconfirmed(&format!("ben-{polls}")).await;
        let code = world.code_for(ben.email.as_str()).await;
        let body = json!({ "email": ben.email.as_str(), "code": code, "password": PASSWORD });
        let answer = Mortal::after(polls, world.confirm_as(&body)).await;
        match &answer {
            Some(answer) => drop(answer.assert(200)),
            None => drop(world.confirm_as(&body).await.assert(200)),
        }
        world.assert_joined(&ben).await;
        answer.is_some()
    });
    let killed = killed.await;
    println!("confirm, killed at each of {killed} polls");
    assert!(killed > 10, "{killed}");
    world.later().await;
    for (address, letters) in world.letters().await {
        assert_eq!(letters, ["confirm-code", "welcome"], "{address}");
    }
    world.rows().check_members().await;
}

#[tokio::test]
async fn a_sign_up_killed_between_any_two_polls_and_repeated_can_be_confirmed() {
    let world = World::new().await;
    let people = std::sync::Mutex::new(Vec::new());
    let killed = at_each_poll(async |polls| {
        let address = [Address::New, Address::Unconfirmed][polls % 2];
        let ben = world.at_address(&format!("ben-{polls}"), address).await;
        let answer = Mortal::after(polls, world.sign_up_as(&ben)).await;
        let outlived = answer.is_some();
        let answer = match answer {
            Some(answer) => answer,
            None => world.sign_up_as(&ben).await,
        };
        answer.assert(201);
        world.assert_signed_up(&ben, address).await;
        people.lock().unwrap().push((ben, address));
        outlived
    });
    let killed = killed.await;
    println!("sign-up, killed at each of {killed} polls");
    assert!(killed > 5, "{killed}");
    world.assert_all_signed_up(&people.into_inner().unwrap()).await;
}

#[tokio::test]
async fn a_deletion_killed_between_any_two_polls_and_repeated_leaves_nothing() {
    let world = World::new().await;
    let people = std::sync::Mutex::new(Vec::new());
    let killed = at_each_poll(async |polls| {
        let (ben, sub, token) = world.settled(&format!("ben-{polls}")).await;
        let (person, body) = (world.bearer(&token), json!({ "password": PASSWORD }));
        let answer = Mortal::after(polls, person.delete("/v1/auth/account", &body)).await;
        match &answer {
            Some(answer) => drop(answer.assert(202)),
            None => world.delete_again(&ben, &token).await,
        }
        people.lock().unwrap().push((ben, sub, token));
        answer.is_some()
    });
    let killed = killed.await;
    println!("delete, killed at each of {killed} polls");
    assert!(killed > 5, "{killed}");
    world.later().await;
    let people = people.into_inner().unwrap();
    for person in &people {
        world.assert_gone(person).await;
    }
    world.assert_no_trace(&people).await;
}
