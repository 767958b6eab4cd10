package dev.headstart.train.compare;

import java.util.Locale;

/**
 * One training of a comparison.
 *
 * @param model id or folder
 * @param mode where it begins and what of it is trained
 * @param size training examples; 0 for all there are
 * @param seed of order, dropout, new weights
 */
public record Cell(String model, Mode mode, int size, long seed) {
    /** Where a training begins and what of the model is trained. */
    public enum Mode {
        /** Every weight, from new ones: what the task's data alone can teach. */
        SCRATCH("from scratch"),
        /** The head alone, on the pre-trained model's features. */
        HEAD("frozen features"),
        /** A low-rank adapter and the head. */
        LORA("LoRA"),
        /** Every weight, from the pre-trained ones. */
        FULL("full fine-tuning");

        private final String title;

        Mode(String title) {
            this.title = title;
        }

        /** For people. */
        public String title() {
            return title;
        }

        /** For files and options. */
        public String id() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** The model's name without what stands before the last slash. */
    public String shortModel() {
        String trimmed = model.replaceAll("[/\\\\]+$", "");
        return trimmed.substring(Math.max(trimmed.lastIndexOf('/'), trimmed.lastIndexOf('\\')) + 1);
    }

    /** A name for its folder. */
    String folder() {
        String id = model.replaceAll("^[./\\\\]+", "").replaceAll("[^A-Za-z0-9._-]+", "_");
        return (id.length() > 80 ? id.substring(id.length() - 80) : id) + "-" + mode.id() + "-"
                + (size == 0 ? "all" : size) + "-seed" + seed;
    }

    /** In words, for logs and errors. */
    String title() {
        return shortModel() + ", " + mode.title() + ", " + (size == 0 ? "all" : size) + " examples, seed " + seed;
    }
}
