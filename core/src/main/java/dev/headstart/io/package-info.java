/** Weight formats: safetensors, PyTorch pickle, TensorFlow tensor bundles, ONNX initializers. */
@NullMarked
package dev.headstart.io;

import org.jspecify.annotations.NullMarked;
