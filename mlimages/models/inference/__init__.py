"""What a network says of images: classes, features, and the predictions of a teacher."""
