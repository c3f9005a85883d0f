package overlay

// WantsClassic tells tests that the kernel says and shows less.
var WantsClassic = wantsClassic
