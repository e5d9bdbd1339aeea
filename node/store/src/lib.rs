//! The chain store: blocks, receipts, flat state, state tries and history; one durable atomic batch per accepted block.
