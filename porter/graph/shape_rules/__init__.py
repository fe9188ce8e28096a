"""Shape rules of TensorFlow's ops. Source: tensorflow/core/ops/{array,control_flow,image,math,nn}_ops.cc."""
