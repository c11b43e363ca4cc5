"""TODO mlimages/images/tfrecord."""
