//! `/v1/jobs/{id}`.

use crate::world::World;

#[tokio::test]
async fn a_job_that_never_was_is_404() {
    let world = World::new().await;
    let id = "0".repeat(26);
    world.ann().get(&format!("/v1/jobs/{id}")).await.assert_problem(404, "unknown_job");
}

#[tokio::test]
async fn what_is_no_id_is_400_and_says_what_an_id_is() {
    let world = World::new().await;
    for bad in ["x", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789012345678901234%20"] {
        let answer = world.ann().get(&format!("/v1/jobs/{bad}")).await;
        answer.assert_problem(400, "invalid_path");
        let error = &answer.json()["errors"][0];
        assert_eq!((error["name"].as_str(), error["in"].as_str()), (Some("id"), Some("path")));
        assert!(error["expected"].as_str().unwrap().starts_with("a job id"), "{error}");
    }
}

#[tokio::test]
async fn an_open_job_says_when_to_ask_again() {
    let world = World::new().await;
    let ann = world.ann();
    let answer = ann.get(&world.path("/clusters")).await;
    let job = ann.get(answer.header("location")).await;
    assert_eq!(job.assert(200).header("retry-after"), "1");
    world.work().await;
    let job = ann.get(answer.header("location")).await;
    assert_eq!(job.assert(200).header("retry-after"), "");
}
