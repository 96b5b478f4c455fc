package writeback

import (
	"path"
	"strings"
	"syscall"
)

// octetStream is the type of what tells nothing.
const octetStream = "application/octet-stream"

// contentTypes is by extension, in lower case. Package mime also asks the tables of the machine it runs on, so
// that two mounts of a bucket would disagree; this one never does.
var contentTypes = map[string]string{
	".7z":          "application/x-7z-compressed",
	".aac":         "audio/aac",
	".apk":         "application/vnd.android.package-archive",
	".avi":         "video/x-msvideo",
	".avif":        "image/avif",
	".bmp":         "image/bmp",
	".bz2":         "application/x-bzip2",
	".conf":        "text/plain; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".csv":         "text/csv; charset=utf-8",
	".doc":         "application/msword",
	".docx":        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".eot":         "application/vnd.ms-fontobject",
	".epub":        "application/epub+zip",
	".flac":        "audio/flac",
	".flv":         "video/x-flv",
	".gif":         "image/gif",
	".gz":          "application/gzip",
	".heic":        "image/heic",
	".htm":         "text/html; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/vnd.microsoft.icon",
	".ics":         "text/calendar; charset=utf-8",
	".ini":         "text/plain; charset=utf-8",
	".jar":         "application/java-archive",
	".jpeg":        "image/jpeg",
	".jpg":         "image/jpeg",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".jsonl":       "application/jsonl",
	".log":         "text/plain; charset=utf-8",
	".m3u8":        "application/vnd.apple.mpegurl",
	".m4a":         "audio/mp4",
	".m4v":         "video/mp4",
	".map":         "application/json",
	".md":          "text/markdown; charset=utf-8",
	".mid":         "audio/midi",
	".mjs":         "text/javascript; charset=utf-8",
	".mkv":         "video/x-matroska",
	".mov":         "video/quicktime",
	".mp3":         "audio/mpeg",
	".mp4":         "video/mp4",
	".mpd":         "application/dash+xml",
	".mpeg":        "video/mpeg",
	".mpg":         "video/mpeg",
	".odp":         "application/vnd.oasis.opendocument.presentation",
	".ods":         "application/vnd.oasis.opendocument.spreadsheet",
	".odt":         "application/vnd.oasis.opendocument.text",
	".ogg":         "audio/ogg",
	".ogv":         "video/ogg",
	".opus":        "audio/ogg",
	".otf":         "font/otf",
	".parquet":     "application/vnd.apache.parquet",
	".pdf":         "application/pdf",
	".png":         "image/png",
	".ppt":         "application/vnd.ms-powerpoint",
	".pptx":        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".ps":          "application/postscript",
	".rar":         "application/vnd.rar",
	".rtf":         "application/rtf",
	".sql":         "application/sql",
	".svg":         "image/svg+xml",
	".tar":         "application/x-tar",
	".tgz":         "application/gzip",
	".tif":         "image/tiff",
	".tiff":        "image/tiff",
	".toml":        "application/toml",
	".ts":          "video/mp2t",
	".ttf":         "font/ttf",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".wav":         "audio/wav",
	".weba":        "audio/webm",
	".webm":        "video/webm",
	".webmanifest": "application/manifest+json",
	".webp":        "image/webp",
	".woff":        "font/woff",
	".woff2":       "font/woff2",
	".xhtml":       "application/xhtml+xml",
	".xls":         "application/vnd.ms-excel",
	".xlsx":        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml":         "application/xml",
	".xz":          "application/x-xz",
	".yaml":        "application/yaml",
	".yml":         "application/yaml",
	".zip":         "application/zip",
	".zst":         "application/zstd",
}

// typeOfName is the content type that the name of an object suggests.
func typeOfName(key string) (contentType string, ok bool) {
	if isDirKey(key) {
		return dirContentType, true
	}
	contentType, ok = contentTypes[strings.ToLower(path.Ext(key))]
	return contentType, ok
}

// defaultType is the content type of an object for which nobody chose one. A link's name tells nothing of what
// the object holds, which is its target.
func defaultType(key string, mode uint32) string {
	if t, ok := typeOfName(key); ok && (mode&syscall.S_IFMT == syscall.S_IFREG || isDirKey(key)) {
		return t
	}
	return octetStream
}

// typeMoves reports whether a content type was that of the old name, so that a new one changes it.
func (a Attr) typeMoves(from, to string) bool {
	had, will := defaultType(from, a.Mode), defaultType(to, a.Mode)
	return had != will && (a.Headers.ContentType == "" || a.Headers.ContentType == had)
}
