//! The endpoints of `tokens`.

#[tokio::test]
async fn get_cluster_answers_who_is_signed_in() {
    let world = crate::world::World::new().await;
    let answer =
        world.ann().get("/v1/tokens/ethereum/0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7/clusters/example").await;
    assert_eq!(
        answer.assert(200).json(),
        serde_json::json!({ "user": "ann", "chain": "ethereum", "address": "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7", "id": "example" })
    );
}

#[tokio::test]
async fn get_cluster_refuses_who_is_not_signed_in() {
    let world = crate::world::World::new().await;
    world
        .anon()
        .get("/v1/tokens/ethereum/0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7/clusters/example")
        .await
        .assert_problem(403, "token_missing");
}

#[tokio::test]
async fn explain_cluster_answers_who_is_signed_in() {
    let world = crate::world::World::new().await;
    let answer = world
        .ann()
        .get("/v1/tokens/ethereum/0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7/clusters/example/explain")
        .await;
    assert_eq!(
        answer.assert(200).json(),
        serde_json::json!({ "user": "ann", "chain": "ethereum", "address": "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7", "id": "example" })
    );
}

#[tokio::test]
async fn explain_cluster_refuses_who_is_not_signed_in() {
    let world = crate::world::World::new().await;
    world
        .anon()
        .get("/v1/tokens/ethereum/0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7/clusters/example/explain")
        .await
        .assert_problem(403, "token_missing");
}
