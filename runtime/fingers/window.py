"""Windows that impressions of a finger are taken in, in pixels at 500 ppi."""

FULL_PRINT, SMALL_SENSOR = (512, 512), (256, 256)
SMALLEST, LARGEST = 64, 576  # side of a window
