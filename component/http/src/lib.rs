//! HTTP plumbing shared by components: a client with TLS, proxies and compression; a small server.
