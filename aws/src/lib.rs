//! AWS plumbing shared by components: credentials, roles, endpoints, signing, error texts.
