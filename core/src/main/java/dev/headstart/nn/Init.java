package dev.headstart.nn;

/** How a new weight starts. */
public sealed interface Init {
    /** Normal distribution around 0. @param std standard deviation */
    record Normal(double std) implements Init {}

    /** Normal distribution around 0 whose row {@code paddingIdx} is 0. @param std standard deviation @param paddingIdx the row */
    record PaddedNormal(double std, long paddingIdx) implements Init {}

    /** Truncated normal distribution around 0, cut at two standard deviations. @param std standard deviation */
    record TruncatedNormal(double std) implements Init {}

    /** Uniform in [-bound, bound]. @param bound half the width */
    record Uniform(double bound) implements Init {}

    /** Every element the same. @param value that value */
    record Constant(double value) implements Init {}

    /** He initialization for convolutions followed by ReLU: normal, fan out (torch's {@code kaiming_normal_(mode="fan_out")}). */
    record KaimingFanOut() implements Init {}

    /** torch's default for Linear and convolutions: uniform, bound 1 / sqrt(fan in). */
    record KaimingUniform() implements Init {}

    /** Position vectors (Vaswani et al. 2017, section 3.5): row p holds sin(p / 10000^(j/d)) at even j, the cosine of the same angle beside it. */
    record Sinusoids() implements Init {}

    /** 0 everywhere. */
    Init ZEROS = new Constant(0);

    /** 1 everywhere. */
    Init ONES = new Constant(1);
}
