package featurestore;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.RemoteFileChangedException;

/**
 * Commits to Delta logs on S3 that replace none: each is put on the condition that there is no object of its name.
 *
 * Delta's own log store for S3 looks first, and then puts, so that two drivers can both commit one version.
 */
public final class ConditionalS3LogStore extends io.delta.storage.S3SingleDriverLogStore {

    public ConditionalS3LogStore(Configuration configuration) {
        super(configuration);
    }

    @Override
    public void write(Path path, Iterator actions, Boolean overwrite, Configuration configuration) throws IOException {
        if (overwrite.booleanValue()) {
            super.write(path, actions, overwrite, configuration);
            return;
        }
        byte[] content = lines(actions);
        FileSystem files = path.getFileSystem(configuration);
        try {
            put(files, path, content);
        } catch (RemoteFileChangedException exists) {
            // A put whose answer was lost is tried again, and then finds its own object.
            if (!Arrays.equals(content, read(files, path))) {
                throw new FileAlreadyExistsException(path.toString());
            }
        }
    }

    private static byte[] lines(Iterator actions) throws IOException {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        while (actions.hasNext()) {
            text.write(((String) actions.next() + "\n").getBytes(StandardCharsets.UTF_8));
        }
        return text.toByteArray();
    }

    private static void put(FileSystem files, Path path, byte[] content) throws IOException {
        FSDataOutputStreamBuilder builder = files.createFile(path);
        builder.create();
        builder.overwrite(true);
        builder.must("fs.option.create.conditional.overwrite", true);
        FSDataOutputStream stream = (FSDataOutputStream) builder.build();
        stream.write(content);
        stream.close();
    }

    private static byte[] read(FileSystem files, Path path) throws IOException {
        InputStream stream = files.open(path);
        try {
            return stream.readAllBytes();
        } finally {
            stream.close();
        }
    }
}
