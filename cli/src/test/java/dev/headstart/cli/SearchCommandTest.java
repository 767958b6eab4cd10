package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Inputs;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.testing.Shared;
import dev.headstart.text.Tokenizer;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageProcessor;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Search and extraction over a folder of images with a tiny CLIP. */
class SearchCommandTest {
    @TempDir
    Path dir;

    private String clip = "";
    private Path photos = Path.of("");

    @BeforeEach
    void photos() throws IOException {
        clip = Shared.require("golden/clip/model/model").toString();
        photos = dir.resolve("photos");
        Files.createDirectories(photos.resolve("more"));
        Color[] colours = {Color.RED, Color.GREEN, Color.BLUE, Color.WHITE};
        for (int i = 0; i < 4; i++) {
            BufferedImage image = new BufferedImage(40 + 10 * i, 50, BufferedImage.TYPE_INT_RGB);
            Graphics2D g = image.createGraphics();
            g.setColor(colours[i]);
            g.fillRect(5 * i, 3, 20, 30);
            g.dispose();
            ImageIO.write(
                    image,
                    "png",
                    photos.resolve((i == 3 ? "more/" : "") + "a<" + i + ">.png").toFile());
        }
        Files.writeString(photos.resolve("broken.jpg"), "no image");
    }

    private static JsonNode json(Result r) throws IOException {
        assertThat(r.code()).as(r.err()).isZero();
        return new ObjectMapper().readTree(r.out());
    }

    @Test
    void anImageIsMostLikeItself() throws IOException {
        Path query = photos.resolve("a<1>.png"), sheet = dir.resolve("sheet.html");
        Result r = HeadstartCommandTest.run(
                "search",
                "--query",
                query.toString(),
                "--folder",
                photos.toString(),
                "--model",
                clip,
                "--top-k",
                "3",
                "--html",
                sheet.toString(),
                "--json");
        JsonNode hits = json(r);
        assertThat(hits).hasSize(3);
        assertThat(hits.get(0).path("path").asText()).isEqualTo(query.toString());
        assertThat(hits.get(0).path("score").asDouble()).isCloseTo(1, within(1e-5));
        assertThat(hits.get(1).path("score").asDouble())
                .isLessThan(0.99999)
                .isGreaterThanOrEqualTo(hits.get(2).path("score").asDouble());
        assertThat(r.err()).contains("4 images searched; 1 row skipped (1 unreadable image)");
        String page = Files.readString(sheet);
        assertThat(page).contains("a&lt;1&gt;.png").doesNotContain("a<1>", "http://", "https://");
        assertThat(page.split("data:image/jpeg;base64,", -1)).hasSize(5); // the query and three hits
    }

    @Test
    void textsScoreAsClipDoes() throws IOException {
        Map<String, Double> scores = new HashMap<>();
        json(HeadstartCommandTest.run(
                        "search", "--query", "a red car", "--folder", photos.toString(), "--model", clip, "--json"))
                .forEach(
                        h -> scores.put(h.path("path").asText(), h.path("score").asDouble()));
        assertThat(scores).hasSize(4);
        try (PreTrainedModel<?> model = AutoModel.fromPretrained(clip);
                Tokenizer tokenizer = Tokenizer.fromPretrained(clip);
                PointerScope scope = new PointerScope()) {
            for (String path : scores.keySet()) {
                Map<String, Tensor> in = new HashMap<>();
                in.put(
                        "input_ids",
                        Tensors.int64(tokenizer.encode("a red car").ids()).unsqueeze(0));
                try (var batch =
                        ImageProcessor.fromFolder(Path.of(clip)).preprocess(List.of(Image.read(Path.of(path))))) {
                    in.putAll(batch.modelInputs());
                    try (var out = model.forward(Inputs.of(in))) {
                        float[] image = Tensors.floats(
                                java.util.Objects.requireNonNull(out.tensors().get("image_embeds")));
                        float[] text = Tensors.floats(
                                java.util.Objects.requireNonNull(out.tensors().get("text_embeds")));
                        double cosine = 0;
                        for (int i = 0; i < text.length; i++) {
                            cosine += image[i] * text[i];
                        }
                        assertThat(scores.get(path)).isCloseTo(cosine, within(1e-4));
                    }
                }
            }
        }
    }

    /** Where no CLIP can be had, images are compared by what the project brings. */
    @Test
    void imagesNeedNoHub() throws IOException {
        assumeTrue(Hub.standard().zoo().contains("headstart/cifar10-resnet14"));
        Path query = photos.resolve("a<2>.png");
        Result r = HeadstartCommandTest.run(
                "search", "--query", query.toString(), "--folder", photos.toString(), "--offline", "--json");
        assertThat(json(r).get(0).path("path").asText()).isEqualTo(query.toString());
        Result text =
                HeadstartCommandTest.run("search", "--query", "a car", "--folder", photos.toString(), "--offline");
        assertThat(text.code()).isEqualTo(1);
        assertThat(text.lastLine()).contains("openai/clip-vit-base-patch32");
    }

    @Test
    void namesWhatIsWrong() {
        assertThat(HeadstartCommandTest.run(
                                "search", "--query", "dog.jpg", "--folder", photos.toString(), "--model", clip)
                        .err())
                .contains("dog.jpg: no such file");
        assertThat(HeadstartCommandTest.run("search", "--query", "a dog", "--folder", dir + "/none", "--model", clip)
                        .err())
                .contains("expected a folder of images, found nothing");
        Result r = HeadstartCommandTest.run(
                "search", "--query", "a dog", "--folder", photos.toString(), "--model", clip, "--on-error", "fail");
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.err()).contains("broken.jpg");
    }

    @Test
    void extractsFeaturesOfAFolderAndGoesOnAfterABreak() throws IOException {
        Path out = dir.resolve("f.jsonl");
        Result fails = HeadstartCommandTest.run(
                "extract", "--model", clip, "--input", photos.toString(), "--output", out.toString());
        assertThat(fails.code()).isEqualTo(1);
        assertThat(fails.err()).contains("broken.jpg", "--on-error skip");
        assertThat(out).doesNotExist();

        Result r = HeadstartCommandTest.run(
                "extract",
                "--model",
                clip,
                "--input",
                photos.toString(),
                "--output",
                dir.resolve("g.jsonl").toString(),
                "--on-error",
                "skip",
                "--json");
        JsonNode summary = json(r);
        assertThat(summary.path("rows").asInt()).isEqualTo(3); // one level of files
        assertThat(summary.path("skipped").asInt()).isEqualTo(1);
        List<String> lines = Files.readAllLines(dir.resolve("g.jsonl"));
        assertThat(lines).hasSize(3);
        assertThat(lines.get(0)).contains("a<0>.png");
    }
}
