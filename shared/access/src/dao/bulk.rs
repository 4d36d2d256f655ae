//! Whole tables and parts of partitions.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use super::{Dao, Row, Sort, Unique};
use crate::AccessError;
use crate::error::Item;

/// As many as one call takes.
const BATCH: usize = 25;
/// Calls under way at the same time.
const SIDE_BY_SIDE: usize = 8;
/// How often what DynamoDB had no room for is sent again, after pauses that double.
const RETRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(25);

impl<T: Unique> Dao<T> {
    /// At most `limit` rows of the whole table in no order that means anything, behind the row with the key `after`,
    /// and the key to go on behind; `None` at the end. Every write that was answered before is seen. A row that is
    /// there all the while is met exactly once.
    pub async fn scan(&self, after: Option<&str>, limit: u32) -> Result<(Vec<T>, Option<String>), AccessError> {
        let answer = self
            .client()
            .scan()
            .table_name(self.name())
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|pk| Self::key(pk, None)))
            .send()
            .await
            .map_err(|e| self.failed(e))?;
        let rows = answer.items.unwrap_or_default().into_iter().map(Self::read).collect::<Result<_, _>>()?;
        let next = answer.last_evaluated_key.and_then(|mut key| key.remove(T::TABLE.partition_key));
        Ok((rows, next.and_then(|key| key.as_s().ok().cloned())))
    }
}

impl<T: Row> Dao<T> {
    /// Writes all of these rows by partition key, whatever was there, some calls side by side. No two of them have the
    /// same key. After a failure some are written: repeat all.
    pub async fn insert_all(&self, rows: &[(&str, T)]) -> Result<(), AccessError> {
        let requests = rows.iter().map(|(pk, row)| {
            let put = PutRequest::builder().set_item(Some(Self::item(pk, row)?)).build();
            let put = put.map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
            Ok(WriteRequest::builder().put_request(put).build())
        });
        self.write_all(requests.collect::<Result<_, AccessError>>()?).await
    }

    /// Removes these rows of a partition, some calls side by side; those that are not there are fine. No two are the
    /// same.
    pub async fn delete_all(&self, pk: &str, sorts: Vec<Sort>) -> Result<(), AccessError> {
        let requests = sorts.into_iter().map(|sort| {
            let delete = DeleteRequest::builder().set_key(Some(Self::key(pk, Some(sort)))).build();
            let delete = delete.map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        });
        self.write_all(requests.collect::<Result<_, AccessError>>()?).await
    }

    async fn write_all(&self, requests: Vec<WriteRequest>) -> Result<(), AccessError> {
        let calls: Vec<_> = requests.chunks(BATCH).map(|chunk| self.write_batch(chunk.to_vec())).collect();
        stream::iter(calls).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }

    async fn write_batch(&self, mut requests: Vec<WriteRequest>) -> Result<(), AccessError> {
        let mut pause = PAUSE;
        for _ in 0..RETRIES {
            let sent = self.client().batch_write_item().request_items(self.name(), requests).send().await;
            let rest = sent.map_err(|e| self.failed(e))?.unprocessed_items;
            requests = rest.and_then(|mut tables| tables.remove(&self.name())).unwrap_or_default();
            if requests.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(AccessError::Unavailable { store: T::TABLE.name, source: "it takes no more rows just now".into() })
    }

    /// The rows of this partition from this sort key up, all pages, in its order.
    pub fn find_from(&self, pk: &str, from: Sort) -> impl Stream<Item = Result<T, AccessError>> + Send + use<T> {
        let dao = self.clone();
        let pk = pk.to_owned();
        stream::try_unfold(Some(None), move |position: Option<Option<Item>>| {
            let (dao, pk, from) = (dao.clone(), pk.clone(), from.clone());
            async move {
                let Some(start) = position else { return Ok(None) };
                let (items, next) = dao.compared(&pk, ">=", from, start, true, None).await?;
                let rows: Vec<Result<T, AccessError>> = items.into_iter().map(Self::read).collect();
                Ok::<_, AccessError>(Some((stream::iter(rows), next.map(Some))))
            }
        })
        .try_flatten()
    }

    /// The row with the highest sort key up to this one.
    pub async fn newest_until(&self, pk: &str, until: Sort) -> Result<Option<T>, AccessError> {
        let (mut items, _) = self.compared(pk, "<=", until, None, false, Some(1)).await?;
        items.pop().map(Self::read).transpose()
    }

    /// `comparison`: of the sort key with `bound`.
    async fn compared(
        &self,
        pk: &str,
        comparison: &str,
        bound: Sort,
        start: Option<Item>,
        forward: bool,
        limit: Option<i32>,
    ) -> Result<(Vec<Item>, Option<Item>), AccessError> {
        let sort = T::TABLE.sort_key.expect("only asked of tables with a sort key");
        let answer = self
            .client()
            .query()
            .table_name(self.name())
            .key_condition_expression(format!("#pk = :pk AND #sort {comparison} :bound"))
            .expression_attribute_names("#pk", T::TABLE.partition_key)
            .expression_attribute_names("#sort", sort.name)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":bound", bound.into())
            .scan_index_forward(forward)
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| self.failed(e))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}
