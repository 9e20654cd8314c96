"""What the stems of results end in; apart from what reads photos, so that help loads no library."""

DERAINED = ".derained"  # the background
RAIN = ".rain"
COMPARE = ".compare"  # before and after
MARKS = (DERAINED, RAIN, COMPARE)
