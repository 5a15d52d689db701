//! Signs requests with AWS Signature Version 4.
