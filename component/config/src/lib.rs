//! Config files: the spanned tree, expansion, merging, diagnostics, typed decoding.
