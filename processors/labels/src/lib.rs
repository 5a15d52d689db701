//! Makes metric and label names legal and final, once per shape.
