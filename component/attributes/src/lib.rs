//! What the processors that look at attributes share: which items are meant, and what is done to their attributes.
//! Pure, on views.
