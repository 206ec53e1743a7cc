//! Choosing an endpoint: membership × health → loads, schedules and hash tables → one index.

pub mod hashing;
pub mod loads;
pub mod pick;
pub mod schedule;
pub mod state;

pub use pick::{Balancer, PickInput, Picked};
pub use state::{ClusterLive, ClusterState, EndpointState, Membership};
