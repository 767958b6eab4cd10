package dev.headstart.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Against transformers' apply_chat_template (conformance/tokenizers/make_chat_goldens.py). */
class ChatTemplateTest {
    private static final TypeReference<Map<String, Object>> MAP = new TypeReference<>() {};
    private static final TypeReference<List<Map<String, Object>>> MAPS = new TypeReference<>() {};

    @TempDir
    Path temp;

    private static JsonNode golden() throws IOException {
        return TokenizerJson.MAPPER.readTree(Shared.repositoryRoot()
                .resolve("core/src/test/resources/chat/golden.json")
                .toFile());
    }

    @Test
    void familiesRenderAsTransformersDoes() throws IOException {
        JsonNode golden = golden();
        Map<String, String> special = Map.of("bos_token", "<s>", "eos_token", "</s>");
        List<String> wrong = new ArrayList<>();
        for (JsonNode c : golden.get("chat")) {
            JsonNode o = c.get("options");
            Map<String, Object> variables = new LinkedHashMap<>(TokenizerJson.MAPPER.convertValue(o, MAP));
            variables.keySet().removeAll(List.of("add_generation_prompt", "continue_final_message", "tools"));
            @Nullable
            List<Map<String, Object>> tools =
                    o.has("tools") ? TokenizerJson.MAPPER.convertValue(o.get("tools"), MAPS) : null;
            JsonNode goesOn = o.path("continue_final_message");
            ChatTemplate.Options options = new ChatTemplate.Options(
                    o.path("add_generation_prompt").asBoolean(),
                    goesOn.asBoolean() || goesOn.isTextual(),
                    tools,
                    null,
                    variables,
                    goesOn.isTextual() ? goesOn.asText() : "content");
            ChatTemplate template = ChatTemplate.of(
                    golden.path("templates").path(c.get("template").asText()).asText());
            String got;
            try {
                ChatTemplate.Rendered rendered =
                        template.render(TokenizerJson.MAPPER.convertValue(c.get("messages"), MAPS), options, special);
                got = rendered.text();
                List<Span> spans = new ArrayList<>();
                c.path("spans")
                        .forEach(s ->
                                spans.add(new Span(s.get(0).asInt(), s.get(1).asInt())));
                if (c.has("spans") && c.get("text").asText().codePoints().allMatch(p -> p < 0x10000)) {
                    assertThat(rendered.generated()).isEqualTo(spans);
                }
            } catch (HeadstartException e) {
                assertThat(e.getMessage()).doesNotContain("\n").startsWith("chat");
                got = "error";
            }
            String want = c.has("error") ? "error" : c.get("text").asText();
            if (!got.equals(want)) {
                wrong.add(c.get("template") + " " + c.get("messages") + " " + o + "\n got " + got + "\n want " + want);
            }
        }
        assertThat(wrong).isEmpty();
        assertThat(golden.get("chat").size()).isGreaterThan(400);
    }

    @Test
    void languageIsJinjas() throws IOException {
        JsonNode golden = golden();
        Map<String, Object> variables = TokenizerJson.MAPPER.convertValue(golden.get("variables"), MAP);
        List<String> wrong = new ArrayList<>();
        for (JsonNode c : golden.get("small")) {
            String got;
            try {
                got = ChatTemplate.of(c.get("template").asText())
                        .render(variables)
                        .text();
            } catch (HeadstartException e) {
                assertThat(e.getMessage()).doesNotContain("\n").startsWith("chat template, line ");
                got = "error";
            }
            String want = c.has("error") ? "error" : c.get("text").asText();
            if (!got.equals(want)) wrong.add(c.get("template") + "\n got " + got + "\n want " + want);
        }
        assertThat(wrong).isEmpty();
    }

    @Test
    void hostileTemplatesEndWithOneLine() {
        List<String> hostile = List.of(
                "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
                "{% set x = 'aaaaaaaaaaaaaaaa' %}{% for i in range(50) %}{% set ns = namespace(s=x * 99999999) %}{% endfor %}",
                "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xxxx') %}{% endfor %}",
                "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
                "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{% set a = [ns.l, 1] %}{% set ms = namespace(l=['x']) %}{% for i in range(60) %}{% set ms.l = [ms.l, ms.l] %}{% endfor %}{{ a == [ms.l, 1] }}{{ a in {} }}",
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "{{ " + "(".repeat(5000) + "1" + ")".repeat(5000) + " }}",
                "{{ " + "-".repeat(5000) + "1 }}",
                "{{ " + "not ".repeat(100_000) + "1 }}",
                "{{ 1" + " + 1".repeat(100_000) + " }}",
                "{{ x" + "|string".repeat(100_000) + " }}",
                "{% if 1 %}".repeat(5000),
                "{{ '%999f' % 1.0 * 999999999 }}",
                "{{ 'x'.zfill(999999999999) * 9999 }}",
                "{{ ''.join(['x' * 16000000, 'y' * 16000000]) }}",
                "{{ range(100000)|unique|list|length }}",
                "{{ raise_exception('bad\nnews') }}");
        for (String template : hostile) {
            Assertions.assertTimeoutPreemptively(
                    Duration.ofSeconds(60),
                    () -> {
                        try {
                            ChatTemplate.of(template).render(Map.of());
                        } catch (HeadstartException e) {
                            assertThat(e.getMessage()).doesNotContain("\n").hasSizeLessThan(400);
                        }
                    },
                    template.substring(0, Math.min(100, template.length())));
        }
    }

    @Test
    void mutatedTemplatesNeverFailOtherwise() throws IOException {
        JsonNode golden = golden();
        List<String> sources = new ArrayList<>();
        golden.path("templates").forEach(t -> sources.add(t.asText()));
        golden.path("small").forEach(t -> sources.add(t.path("template").asText()));
        Map<String, Object> variables =
                new LinkedHashMap<>(TokenizerJson.MAPPER.convertValue(golden.get("variables"), MAP));
        variables.put(
                "messages",
                List.of(Map.of("role", "user", "content", "x"), Map.of("role", "assistant", "content", "y")));
        Random random = new Random(11);
        String pieces = "{}%#|-+~.()[]'\"\\ \nabi0";
        for (int i = 0; i < 3000; i++) {
            StringBuilder b = new StringBuilder(sources.get(random.nextInt(sources.size())));
            for (int k = random.nextInt(6); k >= 0; k--) {
                int at = random.nextInt(b.length());
                if (random.nextBoolean()) b.deleteCharAt(at);
                else b.insert(at, pieces.charAt(random.nextInt(pieces.length())));
                if (b.isEmpty()) b.append(' ');
            }
            try {
                ChatTemplate.of(b.toString()).render(variables);
            } catch (HeadstartException e) {
                assertThat(e.getMessage()).startsWith("chat template");
            }
        }
    }

    @Test
    void templatesCannotReachJava() {
        Map<String, Object> variables = Map.of("o", new Random(1), "l", List.of(1));
        String probe = "{{ o }}|{{ o.class is defined }}|{{ l.getClass is defined }}|{{ ''.getClass is defined }}";
        assertThat(ChatTemplate.of(probe).render(variables).text()).isEqualTo("<Random>|False|False|False");
    }

    @Test
    void dates() {
        ZonedDateTime now = ZonedDateTime.of(2026, 3, 7, 15, 4, 5, 0, ZoneOffset.UTC);
        String template = "{{ strftime_now('%d %b %Y, %A %B %-d %H:%M:%S %I%p %j %%') }}";
        assertThat(ChatTemplate.of(template).render(Map.of(), now).text())
                .isEqualTo("07 Mar 2026, Saturday March 7 15:04:05 03PM 066 %");
    }

    @Test
    void tokenizerFindsItsTemplate() throws IOException {
        Path from = Shared.repositoryRoot().resolve("core/src/test/resources/tokenizers/gpt2");
        for (String file : List.of("vocab.json", "merges.txt")) Files.copy(from.resolve(file), temp.resolve(file));
        Files.writeString(temp.resolve("tokenizer_config.json"), """
                {"tokenizer_class": "GPT2Tokenizer", "chat_template": [
                  {"name": "default", "template": "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"},
                  {"name": "tool_use", "template": "{{ tools|length }} tools"}]}
                """);
        List<Map<String, String>> messages = List.of(Map.of("role", "user", "content", "the sea"));
        Path saved = temp.resolve("saved");
        try (Tokenizer tokenizer = Tokenizer.fromFolder(temp)) {
            tokenizer.savePretrained(saved);
            assertThat(tokenizer.applyChatTemplate(messages, ChatTemplate.Options.PROMPT))
                    .isEqualTo("<|endoftext|>the sea");
            ChatTemplate.Options tools = new ChatTemplate.Options(true, false, List.of(Map.of("a", 1)), null, Map.of());
            assertThat(tokenizer.applyChatTemplate(messages, tools)).isEqualTo("1 tools");
            Encoding e = tokenizer.encodeChat(messages, ChatTemplate.Options.PROMPT);
            assertThat(e.ids()[0]).isEqualTo(tokenizer.eosId().orElseThrow());
        }
        assertThat(saved.resolve("chat_template.jinja")).exists();
        try (Tokenizer tokenizer = Tokenizer.fromFolder(saved)) {
            assertThat(tokenizer.applyChatTemplate(messages, ChatTemplate.Options.PROMPT))
                    .isEqualTo("<|endoftext|>the sea");
        }
        try (Tokenizer tokenizer = Tokenizer.fromFolder(from)) {
            assertThatThrownBy(() -> tokenizer.applyChatTemplate(messages, ChatTemplate.Options.PROMPT))
                    .hasMessageContaining("no chat template");
        }
        Files.writeString(temp.resolve("chat_template.jinja"), "{% if %}");
        try (Tokenizer tokenizer = Tokenizer.fromFolder(temp)) { // loads; the template fails when it is used
            assertThatThrownBy(() -> tokenizer.applyChatTemplate(messages, ChatTemplate.Options.PROMPT))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("chat_template.jinja: chat template, line 1");
        }
    }
}
