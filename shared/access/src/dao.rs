mod bulk;

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    Select, TransactWriteItem, Update,
};
use futures::stream::{self, Stream, TryStreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{self, Item};
use crate::tables::Table;
use crate::{AccessError, Aws, Cached, Cursors, Rao};

/// One row of one table, as a serde type. Its fields are the attributes beside the partition key.
pub trait Row: Serialize + DeserializeOwned + Send + Sync + 'static {
    const TABLE: &'static Table;
}

/// The marker of tables whose partition key alone is the key: there a row can be promised to be the only one.
/// DynamoDB cannot promise that with one condition on a table with a sort key.
pub trait Unique: Row {}

/// The tables of this deployment: where they are and what they are called there.
#[derive(Clone)]
pub struct Tables {
    aws: Aws,
    /// In front of every table's name: `holdfast-prod-`.
    prefix: Arc<str>,
    cursors: Cursors,
}

/// The sort key of one row: of the kind its table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sort {
    Number(u64),
    Text(String),
}

impl From<u64> for Sort {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Sort {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Sort {
    fn of(value: &AttributeValue) -> Option<Self> {
        match value {
            AttributeValue::N(number) => number.parse().ok().map(Self::Number),
            AttributeValue::S(text) => Some(Self::Text(text.clone())),
            _ => None,
        }
    }
}

impl From<Sort> for AttributeValue {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Number(number) => Self::N(number.to_string()),
            Sort::Text(text) => Self::S(text),
        }
    }
}

/// Names of the key attributes as DynamoDB itself tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchema {
    pub partition_key: String,
    pub sort_key: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it back to go on; absent on the last page.
    pub next_cursor: Option<String>,
}

/// An expression with its names and values, for conditions and changes. Every `#name` and `:value` in the text is
/// given.
#[derive(Clone, Debug, Default)]
pub struct Expression {
    pub text: String,
    pub names: Vec<(&'static str, &'static str)>,
    pub values: Vec<(&'static str, AttributeValue)>,
}

impl Expression {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub fn name(mut self, placeholder: &'static str, attribute: &'static str) -> Self {
        self.names.push((placeholder, attribute));
        self
    }

    pub fn string(self, placeholder: &'static str, value: impl Into<String>) -> Self {
        self.value(placeholder, AttributeValue::S(value.into()))
    }

    pub fn number(self, placeholder: &'static str, value: impl ToString) -> Self {
        self.value(placeholder, AttributeValue::N(value.to_string()))
    }

    pub fn bool(self, placeholder: &'static str, value: bool) -> Self {
        self.value(placeholder, AttributeValue::Bool(value))
    }

    pub fn value(mut self, placeholder: &'static str, value: AttributeValue) -> Self {
        self.values.push((placeholder, value));
        self
    }

    /// `None` when there are none: DynamoDB refuses an empty map.
    fn names(&self) -> Option<HashMap<String, String>> {
        let named = self.names.iter().map(|(placeholder, name)| ((*placeholder).to_owned(), (*name).to_owned()));
        (!self.names.is_empty()).then(|| named.collect())
    }

    /// `None` when there are none.
    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        let valued = self.values.iter().map(|(placeholder, value)| ((*placeholder).to_owned(), value.clone()));
        (!self.values.is_empty()).then(|| valued.collect())
    }
}

/// One write of a transaction, made by the [`Dao`] of its table.
#[derive(Clone, Debug)]
pub struct Write {
    table: &'static str,
    item: TransactWriteItem,
}

/// What came of a transaction.
#[derive(Clone, Debug)]
pub enum Transacted {
    Done,
    /// Nothing was written.
    Unmet(Unmet),
}

/// The first write of a transaction, in the order given, whose condition did not hold.
#[derive(Clone, Debug)]
pub struct Unmet {
    /// Its place among the writes, from 0.
    pub write: usize,
    pub table: &'static str,
    /// What was there; [`Dao::read`] reads it.
    pub row: Option<Box<Item>>,
}

/// Database Access Object: one per table, typed.
pub struct Dao<T> {
    tables: Tables,
    rao: Rao,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for Dao<T> {
    fn clone(&self) -> Self {
        Self { tables: self.tables.clone(), rao: self.rao.clone(), row: PhantomData }
    }
}

impl Tables {
    /// `prefix` is put in front of every table's name; `cursors` seals list positions.
    pub fn new(aws: Aws, prefix: &str, cursors: Cursors) -> Self {
        Self { aws, prefix: prefix.into(), cursors }
    }

    pub fn physical_name(&self, table: &Table) -> String {
        format!("{}{}", self.prefix, table.name)
    }

    /// All of these writes or none.
    ///
    /// # Errors
    /// [`AccessError::ConditionFailed`] with the row of the first condition that did not hold,
    /// [`AccessError::Contended`] when another transaction was faster.
    pub async fn transact(&self, writes: Vec<Write>) -> Result<(), AccessError> {
        match self.transact_if(writes).await? {
            Transacted::Done => Ok(()),
            Transacted::Unmet(unmet) => Err(AccessError::ConditionFailed { table: unmet.table, row: unmet.row }),
        }
    }

    /// [`Tables::transact`] for whoever has to know which condition did not hold.
    ///
    /// # Errors
    /// [`AccessError::Contended`] when another transaction was faster.
    pub async fn transact_if(&self, writes: Vec<Write>) -> Result<Transacted, AccessError> {
        let tables: Vec<_> = writes.iter().map(|write| write.table).collect();
        let items = writes.into_iter().map(|write| write.item).collect();
        let sent = self.aws.dynamodb().transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = sent else { return Ok(Transacted::Done) };
        match error::unmet(&error) {
            Some((write, row)) => {
                let table = tables.get(write).copied().unwrap_or_default();
                Ok(Transacted::Unmet(Unmet { write, table, row }))
            }
            None => Err(AccessError::from_transaction(tables.first().copied().unwrap_or_default(), error)),
        }
    }

    /// Creates every table that is not there; for the local server and for tests. Deployments create theirs from
    /// the template.
    pub async fn create_missing(&self) -> Result<(), AccessError> {
        crate::tables::create_missing(self.aws.dynamodb(), &self.prefix).await
    }
}

impl<T: Row> Dao<T> {
    /// Costs no call: the key names are known.
    pub fn open(tables: &Tables, rao: &Rao) -> Self {
        Self { tables: tables.clone(), rao: rao.clone(), row: PhantomData }
    }

    /// Asks the table for its key names.
    pub async fn describe(&self) -> Result<KeySchema, AccessError> {
        use aws_sdk_dynamodb::types::KeyType;
        let answer = self.client().describe_table().table_name(self.name()).send().await;
        let table = answer.map_err(|e| self.failed(e))?.table;
        let keys = table.and_then(|table| table.key_schema).unwrap_or_default();
        let named = |kind: &KeyType| keys.iter().find(|k| k.key_type() == kind).map(|k| k.attribute_name().to_owned());
        let partition_key = named(&KeyType::Hash)
            .ok_or_else(|| AccessError::malformed(T::TABLE.name, "the table has no partition key"))?;
        Ok(KeySchema { partition_key, sort_key: named(&KeyType::Range) })
    }

    /// The row with this key; `sort` on tables that have a sort key.
    pub async fn get(&self, pk: &str, sort: Option<Sort>) -> Result<Option<T>, AccessError> {
        let answer = self
            .client()
            .get_item()
            .table_name(self.name())
            .set_key(Some(Self::key(pk, sort)))
            .consistent_read(true)
            .send()
            .await;
        answer.map_err(|e| self.failed(e))?.item.map(Self::read).transpose()
    }

    /// Rows by partition key, on tables without a sort key; those that are not there are left out. Any number of
    /// keys, in as many calls as that takes.
    pub async fn batch_get(&self, pks: &[String]) -> Result<Vec<T>, AccessError> {
        let mut rows = Vec::with_capacity(pks.len());
        for chunk in pks.chunks(100) {
            let mut wanted: Vec<_> = chunk.iter().map(|pk| Self::key(pk, None)).collect();
            // Under load DynamoDB answers a part and names the rest.
            while !wanted.is_empty() {
                let keys = KeysAndAttributes::builder().set_keys(Some(std::mem::take(&mut wanted))).build();
                let keys = keys.expect("keys were given");
                let answer = self.client().batch_get_item().request_items(self.name(), keys).send().await;
                let answer = answer.map_err(|e| self.failed(e))?;
                for item in answer.responses.into_iter().flat_map(|mut tables| tables.remove(&self.name())).flatten() {
                    rows.push(Self::read(item)?);
                }
                wanted = answer
                    .unprocessed_keys
                    .and_then(|mut tables| tables.remove(&self.name()))
                    .map(|rest| rest.keys)
                    .unwrap_or_default();
            }
        }
        Ok(rows)
    }

    /// Every row of this partition, all pages, in the order of the sort key.
    pub fn find_all_by_pk(&self, pk: &str) -> impl Stream<Item = Result<T, AccessError>> + Send + use<T> {
        let dao = self.clone();
        let pk = pk.to_owned();
        stream::try_unfold(Some(None), move |position: Option<Option<Item>>| {
            let (dao, pk) = (dao.clone(), pk.clone());
            async move {
                let Some(start) = position else { return Ok(None) };
                let (items, next) = dao.query(&pk, start, None, true).await?;
                let rows: Vec<Result<T, AccessError>> = items.into_iter().map(Self::read).collect();
                Ok::<_, AccessError>(Some((stream::iter(rows), next.map(Some))))
            }
        })
        .try_flatten()
    }

    /// The row with the highest sort key, straight from the table. `consistent` sees every write before it.
    pub async fn newest(&self, pk: &str, consistent: bool) -> Result<Option<T>, AccessError> {
        let mut items = self.query_page(pk, None, Some(1), false, consistent).await?.0;
        items.pop().map(Self::read).transpose()
    }

    /// How many rows this partition has, counted over all pages.
    pub async fn find_count_by_pk(&self, pk: &str) -> Result<u64, AccessError> {
        let mut count = 0_u64;
        let mut start = None;
        loop {
            let answer = self
                .client()
                .query()
                .table_name(self.name())
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", T::TABLE.partition_key)
                .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
                .select(Select::Count)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|e| self.failed(e))?;
            count += u64::try_from(answer.count).unwrap_or(0);
            match answer.last_evaluated_key {
                Some(key) => start = Some(key),
                None => return Ok(count),
            }
        }
    }

    /// At most `limit` rows of this partition in the order of the sort key, from where `cursor` ends.
    ///
    /// # Errors
    /// [`AccessError::BadCursor`] when the cursor is not of this partition of this table.
    pub async fn page(&self, pk: &str, cursor: Option<&str>, limit: u32) -> Result<Page<T>, AccessError> {
        let list = format!("{}/{pk}", T::TABLE.name);
        let start = match cursor {
            Some(cursor) => {
                let sort: Option<Sort> = self.tables.cursors.open(&list, cursor)?;
                Some(Self::key(pk, sort))
            }
            None => None,
        };
        let (items, next) = self.query(pk, start, Some(limit), true).await?;
        let next_cursor = next.map(|key| {
            let sort = T::TABLE.sort_key.and_then(|sort| key.get(sort.name)).and_then(Sort::of);
            self.tables.cursors.seal(&list, &sort)
        });
        Ok(Page { items: items.into_iter().map(Self::read).collect::<Result<_, _>>()?, next_cursor })
    }

    /// Writes the row, whatever was there.
    pub async fn insert_new(&self, pk: &str, row: &T) -> Result<(), AccessError> {
        let item = Self::item(pk, row)?;
        let sent = self.client().put_item().table_name(self.name()).set_item(Some(item)).send().await;
        sent.map(drop).map_err(|e| self.failed(e))
    }

    /// Writes the row unless one with the same full key is there. On a table with a sort key that says nothing of
    /// the partition's other rows.
    ///
    /// # Errors
    /// [`AccessError::AlreadyExists`]
    pub async fn insert_if_absent(&self, pk: &str, row: &T) -> Result<(), AccessError> {
        let sent = self
            .client()
            .put_item()
            .table_name(self.name())
            .set_item(Some(Self::item(pk, row)?))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", T::TABLE.partition_key)
            .send()
            .await;
        match sent {
            Err(e) if e.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Err(AccessError::AlreadyExists { table: T::TABLE.name })
            }
            other => other.map(drop).map_err(|e| self.failed(e)),
        }
    }

    /// Writes the whole row when `condition` holds for what was there before.
    ///
    /// # Errors
    /// [`AccessError::ConditionFailed`] with the row as it was, without a second read.
    pub async fn put_if(&self, pk: &str, row: &T, condition: Expression) -> Result<(), AccessError> {
        let sent = self
            .client()
            .put_item()
            .table_name(self.name())
            .set_item(Some(Self::item(pk, row)?))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .condition_expression(condition.text)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(e)) => {
                    Err(AccessError::ConditionFailed { table: T::TABLE.name, row: e.item().cloned().map(Box::new) })
                }
                _ => Err(self.failed(error)),
            },
        }
    }

    /// Changes attributes of one row when `condition` holds and returns the row as it is afterwards. Creates the row
    /// when it is not there and the condition allows that. Names and values of both expressions are given in `change`.
    ///
    /// # Errors
    /// [`AccessError::ConditionFailed`] with the row as it was, without a second read.
    pub async fn update_if(
        &self,
        pk: &str,
        sort: Option<Sort>,
        change: Expression,
        condition: &str,
    ) -> Result<T, AccessError> {
        let sent = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(Self::key(pk, sort)))
            .set_expression_attribute_names(change.names())
            .set_expression_attribute_values(change.values())
            .update_expression(change.text)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(answer) => Self::read(answer.attributes.unwrap_or_default()),
            Err(error) => match error.as_service_error() {
                Some(aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(e)) => {
                    Err(AccessError::ConditionFailed { table: T::TABLE.name, row: e.item().cloned().map(Box::new) })
                }
                _ => Err(self.failed(error)),
            },
        }
    }

    /// Removes one row when `condition` holds.
    ///
    /// # Errors
    /// [`AccessError::ConditionFailed`]; a row that is not there fails every condition but its own absence.
    pub async fn delete_if(&self, pk: &str, sort: Option<Sort>, condition: Expression) -> Result<(), AccessError> {
        let sent = self
            .client()
            .delete_item()
            .table_name(self.name())
            .set_key(Some(Self::key(pk, sort)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .condition_expression(condition.text)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(e)) => {
                    Err(AccessError::ConditionFailed { table: T::TABLE.name, row: e.item().cloned().map(Box::new) })
                }
                _ => Err(self.failed(error)),
            },
        }
    }

    /// At most `limit` rows of the table's index with this index key whose sort attribute is below `before`, lowest
    /// first, from where `cursor` ends. An index lags behind the table: decide on the row itself.
    ///
    /// # Errors
    /// [`AccessError::BadCursor`] when the cursor is not of this part of this index.
    pub async fn indexed_before(
        &self,
        key: &str,
        before: u64,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<T>, AccessError> {
        let index = T::TABLE.index.as_ref().expect("only asked of tables with an index");
        let list = format!("{}.{}/{key}", T::TABLE.name, index.name);
        let mut start = match cursor {
            Some(cursor) => {
                let position: BTreeMap<String, Sort> = self.tables.cursors.open(&list, cursor)?;
                Some(position.into_iter().map(|(name, value)| (name, value.into())).collect::<Item>())
            }
            None => None,
        };
        let mut items = Vec::new();
        // One answer of the service is a megabyte at most, however many rows that is.
        loop {
            let left = usize::try_from(limit).unwrap_or(usize::MAX) - items.len();
            let answer = self
                .client()
                .query()
                .table_name(self.name())
                .index_name(index.name)
                .key_condition_expression("#key = :key AND #sort < :before")
                .expression_attribute_names("#key", index.partition_key)
                .expression_attribute_names("#sort", index.sort_key)
                .expression_attribute_values(":key", AttributeValue::S(key.to_owned()))
                .expression_attribute_values(":before", AttributeValue::N(before.to_string()))
                .limit(i32::try_from(left).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|e| self.failed(e))?;
            items.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key;
            if start.is_none() || items.len() >= limit as usize {
                break;
            }
        }
        let next_cursor = start.map(|key| {
            let position: BTreeMap<_, _> =
                key.iter().filter_map(|(name, value)| Some((name, Sort::of(value)?))).collect();
            self.tables.cursors.seal(&list, &position)
        });
        Ok(Page { items: items.into_iter().map(Self::read).collect::<Result<_, _>>()?, next_cursor })
    }

    /// A put for [`Tables::transact`].
    pub fn put(&self, pk: &str, row: &T, condition: Option<Expression>) -> Result<Write, AccessError> {
        let mut put = Put::builder().table_name(self.name()).set_item(Some(Self::item(pk, row)?));
        if let Some(condition) = condition {
            put = put
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .condition_expression(condition.text)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        }
        let put = put.build().map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        Ok(Write { table: T::TABLE.name, item: TransactWriteItem::builder().put(put).build() })
    }

    /// An update for [`Tables::transact`]; names and values of both expressions are given in `change`.
    pub fn update(
        &self,
        pk: &str,
        sort: Option<Sort>,
        change: Expression,
        condition: &str,
    ) -> Result<Write, AccessError> {
        let update = Update::builder()
            .table_name(self.name())
            .set_key(Some(Self::key(pk, sort)))
            .set_expression_attribute_names(change.names())
            .set_expression_attribute_values(change.values())
            .update_expression(change.text)
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        Ok(Write { table: T::TABLE.name, item: TransactWriteItem::builder().update(update).build() })
    }

    /// A delete for [`Tables::transact`].
    pub fn delete(&self, pk: &str, sort: Option<Sort>, condition: Option<Expression>) -> Result<Write, AccessError> {
        let mut delete = Delete::builder().table_name(self.name()).set_key(Some(Self::key(pk, sort)));
        if let Some(condition) = condition {
            delete = delete
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .condition_expression(condition.text)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        }
        let delete = delete.build().map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        Ok(Write { table: T::TABLE.name, item: TransactWriteItem::builder().delete(delete).build() })
    }

    /// A condition for [`Tables::transact`] on a row that stays as it is.
    pub fn check(&self, pk: &str, sort: Option<Sort>, condition: Expression) -> Result<Write, AccessError> {
        let check = ConditionCheck::builder()
            .table_name(self.name())
            .set_key(Some(Self::key(pk, sort)))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .condition_expression(condition.text)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        let item = TransactWriteItem::builder().condition_check(check).build();
        Ok(Write { table: T::TABLE.name, item })
    }

    /// A row as it comes with a condition that did not hold.
    pub fn read(item: Item) -> Result<T, AccessError> {
        serde_dynamo::from_item(item).map_err(|e| AccessError::malformed(T::TABLE.name, e))
    }

    fn item(pk: &str, row: &T) -> Result<Item, AccessError> {
        let mut item: Item = serde_dynamo::to_item(row).map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        // An absent option is an absent attribute: a null could be neither an index key nor an expiry.
        item.retain(|_, value| !value.is_null());
        item.insert(T::TABLE.partition_key.to_owned(), AttributeValue::S(pk.to_owned()));
        Ok(item)
    }

    fn key(pk: &str, sort: Option<Sort>) -> Item {
        let mut key = Item::from([(T::TABLE.partition_key.to_owned(), AttributeValue::S(pk.to_owned()))]);
        if let (Some(key_part), Some(sort)) = (T::TABLE.sort_key, sort) {
            key.insert(key_part.name.to_owned(), sort.into());
        }
        key
    }

    async fn query(
        &self,
        pk: &str,
        start: Option<Item>,
        limit: Option<u32>,
        forward: bool,
    ) -> Result<(Vec<Item>, Option<Item>), AccessError> {
        self.query_page(pk, start, limit, forward, true).await
    }

    async fn query_page(
        &self,
        pk: &str,
        start: Option<Item>,
        limit: Option<u32>,
        forward: bool,
        consistent: bool,
    ) -> Result<(Vec<Item>, Option<Item>), AccessError> {
        let answer = self
            .client()
            .query()
            .table_name(self.name())
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", T::TABLE.partition_key)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .scan_index_forward(forward)
            .consistent_read(consistent)
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|e| self.failed(e))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    fn client(&self) -> &aws_sdk_dynamodb::Client {
        self.tables.aws.dynamodb()
    }

    fn name(&self) -> String {
        self.tables.physical_name(T::TABLE)
    }

    fn failed<E>(&self, error: aws_sdk_dynamodb::error::SdkError<E>) -> AccessError
    where
        E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        AccessError::from_sdk(T::TABLE.name, error)
    }
}

impl<T: Row + Cached> Dao<T> {
    /// The row with the highest sort key, from the cache when it is there; `None` when the partition is empty.
    pub async fn find_most_recent_by_pk(&self, pk: &str) -> Result<Option<Arc<T>>, AccessError> {
        if let Some(hit) = self.rao.get::<T>(pk).await {
            return Ok(Some(hit.value));
        }
        let Some(row) = self.newest(pk, false).await? else { return Ok(None) };
        let row = Arc::new(row);
        self.rao.put(pk, Arc::clone(&row), T::TTL).await;
        Ok(Some(row))
    }
}

impl<T: Unique> Dao<T> {
    /// Writes the first row with this partition key.
    ///
    /// # Errors
    /// [`AccessError::AlreadyExists`] when there is one.
    pub async fn insert_one(&self, pk: &str, row: &T) -> Result<(), AccessError> {
        self.insert_if_absent(pk, row).await
    }
}
