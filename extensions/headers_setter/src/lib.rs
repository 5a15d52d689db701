//! Sets headers on outgoing requests.
