package dev.headstart.text;

import dev.headstart.HeadstartException;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A model's chat template: messages to the text that the model was trained on. The language is Jinja as transformers'
 * {@code apply_chat_template} runs it ({@code trim_blocks}, {@code lstrip_blocks}, loop controls, {@code tojson} without HTML escapes,
 * {@code raise_exception}, {@code strftime_now}, {@code generation} blocks). Templates are foreign code: they see only maps, lists, strings,
 * numbers and booleans, can change none of them, and end at limits on steps, nesting and length. Immutable and thread-safe.
 */
public final class ChatTemplate {
    private final String source;
    private final JinjaStatements.Statement program;

    private ChatTemplate(String source) {
        this.source = source;
        this.program = JinjaStatements.parse(source);
    }

    /**
     * Compiles a template.
     *
     * @throws HeadstartException when it is no valid Jinja, with the line
     */
    public static ChatTemplate of(String source) {
        try {
            return new ChatTemplate(source);
        } catch (StackOverflowError e) {
            throw new HeadstartException("chat template: it is nested too deeply", e);
        }
    }

    /** The template's own text. */
    public String source() {
        return source;
    }

    /** Whether the template's text names a variable. */
    boolean names(String variable) {
        return Pattern.compile("\\b" + Pattern.quote(variable) + "\\b")
                .matcher(source)
                .find();
    }

    /**
     * A rendered conversation.
     *
     * @param text what the model gets
     * @param generated pieces inside {@code generation} blocks, which are the assistant's; empty where the template marks none
     */
    public record Rendered(String text, List<Span> generated) {}

    /**
     * Renders with the variables as they are.
     *
     * @param variables maps, lists, strings, numbers, booleans and null; anything else is replaced by its class's name
     * @throws HeadstartException when the template refuses ({@code raise_exception}), uses what is undefined, or goes beyond its limits
     */
    public Rendered render(Map<String, ?> variables) {
        return render(variables, ZonedDateTime.now());
    }

    Rendered render(Map<String, ?> variables, ZonedDateTime now) {
        Map<String, @Nullable Object> plain = new LinkedHashMap<>();
        variables.forEach((name, value) -> plain.put(name, JinjaValues.plain(value)));
        JinjaRun run = new JinjaRun(plain, now);
        try {
            program.run(run);
        } catch (StackOverflowError e) {
            throw run.error("it is nested too deeply");
        } catch (HeadstartException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new HeadstartException(
                    "chat template, line " + run.line() + ": " + TokenizerJson.oneLine(String.valueOf(e)), e);
        }
        return new Rendered(run.result(), run.generated());
    }

    /**
     * What a conversation is rendered with (transformers {@code apply_chat_template}).
     *
     * @param addGenerationPrompt whether the text ends where the assistant is to begin
     * @param continueFinalMessage whether the text ends inside the last message, for the model to go on with it
     * @param tools JSON schemas of the functions that the model may call; null for none
     * @param documents what the model may quote, maps of title and text; null for none
     * @param variables more variables, such as {@code enable_thinking}
     * @param continued which text of the last message goes on: its {@code content}, or for instance its {@code reasoning_content}
     */
    public record Options(
            boolean addGenerationPrompt,
            boolean continueFinalMessage,
            @Nullable List<? extends Map<String, ?>> tools,
            @Nullable List<? extends Map<String, ?>> documents,
            Map<String, ?> variables,
            String continued) {
        /** The same, going on with the content. */
        public Options(
                boolean addGenerationPrompt,
                boolean continueFinalMessage,
                @Nullable List<? extends Map<String, ?>> tools,
                @Nullable List<? extends Map<String, ?>> documents,
                Map<String, ?> variables) {
            this(addGenerationPrompt, continueFinalMessage, tools, documents, variables, "content");
        }

        /** A prompt for the assistant's next message, nothing else. */
        public static final Options PROMPT = new Options(true, false, null, null, Map.of());

        /** The conversation alone, as for training. */
        public static final Options PLAIN = new Options(false, false, null, null, Map.of());
    }

    /** Names of a message's reasoning, the usual one first. */
    private static final List<String> REASONING = List.of("reasoning_content", "thinking", "reasoning");

    private static final String CONTINUE_HERE = "CONTINUE_FINAL_MESSAGE_TAG ";

    /**
     * Renders a conversation.
     *
     * @param messages maps of role and content; entries that are null count as absent
     * @param special the tokenizer's special tokens by name ({@code bos_token} ...)
     * @throws HeadstartException as {@link #render}; also when there is no message, or none to continue
     */
    public Rendered render(List<? extends Map<String, ?>> messages, Options options, Map<String, String> special) {
        if (messages.isEmpty())
            throw new HeadstartException("chat: there is no message; give at least one with role and content");
        if (options.addGenerationPrompt() && options.continueFinalMessage()) {
            throw new HeadstartException(
                    "chat: addGenerationPrompt starts a new message and continueFinalMessage goes on with the last one; choose one");
        }
        List<Map<String, Object>> chat = new ArrayList<>();
        for (Map<String, ?> message : messages) {
            Map<String, Object> copy = new LinkedHashMap<>();
            message.forEach((k, v) -> {
                if (v != null) copy.put(k, v);
            });
            for (String name : REASONING) {
                Object reasoning = copy.get(name);
                if (reasoning == null) continue;
                copy.putIfAbsent("thinking", reasoning);
                copy.put("reasoning_content", reasoning);
                break;
            }
            chat.add(copy);
        }
        String last = "";
        if (options.continueFinalMessage()) {
            Map<String, Object> message = chat.get(chat.size() - 1);
            last = markEnd(message, options.continued());
        }
        Map<String, @Nullable Object> variables = new LinkedHashMap<>(special);
        variables.putAll(options.variables());
        variables.put("messages", chat);
        variables.put("tools", options.tools());
        variables.put("documents", options.documents());
        variables.put("add_generation_prompt", options.addGenerationPrompt());
        Rendered rendered = render(variables);
        if (!options.continueFinalMessage()) return rendered;
        String text = rendered.text();
        int tag = text.lastIndexOf(CONTINUE_HERE.strip());
        if (tag < 0 || !text.contains(last.strip())) {
            throw new HeadstartException("chat: the template drops the last message's end, so it cannot be continued");
        }
        boolean kept = text.startsWith(CONTINUE_HERE, tag);
        return new Rendered(
                kept ? text.substring(0, tag) : text.substring(0, tag).stripTrailing(), rendered.generated());
    }

    /** Appends the mark to the message's text, or to the last of its text blocks; returns the text that it had. */
    private String markEnd(Map<String, Object> message, String field) {
        Object content = message.get(field);
        List<String> same = REASONING.contains(field)
                ? REASONING.stream()
                        .filter(f -> content != null && content.equals(message.get(f)))
                        .toList()
                : List.of(field);
        if (content != null && same.stream().noneMatch(source::contains)) {
            throw new HeadstartException(
                    "chat: the template does not read " + field + ", so it cannot be continued; continue the content");
        }
        if (content instanceof String text) {
            same.forEach(f -> message.put(f, text + CONTINUE_HERE));
            return text;
        }
        if (content instanceof List<?> blocks) {
            List<Object> copy = new ArrayList<>(blocks);
            for (int i = copy.size() - 1; i >= 0; i--) {
                if (!(copy.get(i) instanceof Map<?, ?> block) || !(block.get("text") instanceof String text)) continue;
                Map<Object, @Nullable Object> marked = new LinkedHashMap<>(block);
                marked.put("text", text + CONTINUE_HERE);
                copy.set(i, marked);
                message.put(field, copy);
                return text;
            }
        }
        throw new HeadstartException("chat: continueFinalMessage needs a text in the last message's " + field);
    }
}
