"""Images: convolution by its definition and by Winograd's algorithm, pooling, and the CNN."""
