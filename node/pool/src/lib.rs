//! The transaction pool: a state machine without clock, network or database.
