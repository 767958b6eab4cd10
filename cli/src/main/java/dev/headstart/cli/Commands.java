package dev.headstart.cli;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * The subcommands by name. Their classes are loaded only when asked for, so that {@code --help} touches none of them: this table holds
 * what the overview prints. A class is in this package, is annotated with picocli's {@code @Command(name = ...)} and has a constructor
 * without parameters.
 */
final class Commands {
    /**
     * One line of the overview.
     *
     * @param name what the user types
     * @param type simple name of the class in this package
     * @param description one line for the overview; empty for what only the launcher calls
     */
    record Entry(String name, String type, String description) {
        /** The class, loaded now. */
        Class<?> load() {
            try {
                return Class.forName(Commands.class.getPackageName() + "." + type);
            } catch (ClassNotFoundException e) {
                throw new IllegalStateException("command " + name + " has no class " + type, e);
            }
        }
    }

    private static final List<Entry> ENTRIES = new ArrayList<>();

    private static void add(String name, String type, String description) {
        ENTRIES.add(new Entry(name, type, description));
    }

    static { // one command a statement: additions merge without conflict
        add("chat", "ChatCommand", "talk with a model, answers as they are made");
        add("compare", "CompareCommand", "what a head start buys: from scratch, frozen, LoRA, full, side by side");
        add("convert", "ConvertCommand", "convert weights of another format into a folder with safetensors");
        add("doctor", "DoctorCommand", "check this machine: JVM, processor, memory, native libraries, caches");
        add("evaluate", "EvaluateCommand", "score predictions against references, with bootstrap intervals");
        add("extract", "ExtractCommand", "features of many texts or images into a file; resumes after a break");
        add("finetune", "FinetuneCommand", "adapt a pre-trained model to your data: full, head only, LoRA");
        add("forward", "ForwardCommand", "run a model once on the tensors of a file (raw, for comparisons)");
        add("models", "ModelsCommand", "list, show, fetch and remove models");
        add("preprocess", "PreprocessCommand", "run files through a model's processor, as safetensors");
        add("pretrain", "PretrainCommand", "train BERT, GPT or T5 from nothing on your texts");
        add("quantize", "QuantizeCommand", "weights of 8 or 4 bits: a smaller and faster model");
        add("run", "RunCommand", "run a task on texts or files");
        add("search", "SearchCommand", "find the images of a folder that are like an image or fit a text");
        add("start-up", "StartUpCommand", "");
        add("train-steps", "TrainStepsCommand", "train on given batches (raw, for comparisons)");
        add("tokenize", "TokenizeCommand", "show how a model's tokenizer splits texts");
        add("tokenizer", "TokenizerCommand", "train a tokenizer of your own");
    }

    /** What the overview shows, by name. */
    static List<Entry> all() {
        return ENTRIES.stream()
                .filter(entry -> !entry.description().isEmpty())
                .sorted(Comparator.comparing(Entry::name))
                .toList();
    }

    static Optional<Entry> find(String name) {
        return ENTRIES.stream().filter(entry -> entry.name().equals(name)).findFirst();
    }

    private Commands() {}
}
